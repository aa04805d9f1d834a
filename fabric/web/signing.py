"""Pages: the wizard that signs a template disk: certificate, disk, name and version, review, generate, summary."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from fabric.commands import signing as commands
from fabric.models import SigningState, TemplateSigning, UnsignedDisk
from fabric.selectors.signing import disk_choices, next_versions
from fabric.signers import certificate_facts, configured_signers
from portal.kernel.errors import DomainError
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.jobs import panel_for
from portal.web.notifications import notify_job
from portal.web.views import WizardStep, WizardView

STEPS = (
    WizardStep("certificate", "Certificate", "fabric:signing-certificate"),
    WizardStep("disk", "Disk", "fabric:signing-disk"),
    WizardStep("name", "Name and version", "fabric:signing-name"),
    WizardStep("review", "Review", "fabric:signing-review"),
    WizardStep("generate", "Generate", "fabric:signing-generate"),
    WizardStep("summary", "Summary", "fabric:signing-summary"),
)


def open_steps(signing: TemplateSigning) -> list[str]:
    """The steps that may be opened: what is being signed or is published cannot be changed any more."""
    match signing.state:
        case SigningState.PUBLISHED:
            return ["summary"]
        case SigningState.SIGNING:
            return ["generate"]
    return [
        "certificate",
        "disk",
        *(["name"] if signing.source else []),
        *(["review"] if signing.source and signing.name and signing.version else []),
        *(["generate"] if signing.job_id else []),
    ]


def url_of(signing: TemplateSigning) -> str:
    """Where a signing is gone on with: its last open step."""
    last = open_steps(signing)[-1]
    return reverse(next(step.url_name for step in STEPS if step.key == last), args=[signing.pk])


class _Step(WizardView):
    access, rail, title = Access.FABRIC, "template-disks", "sign a template disk"
    parent_url_name, parent_label, close_url_name = "fabric:templates", "template disks", "fabric:templates"
    steps = STEPS

    def get_object(self) -> TemplateSigning:
        found = TemplateSigning.objects.visible_to(self.actor).select_related("job", "inspection_job", "disk__blob")
        return found.get(pk=self.kwargs["pk"])

    def open_steps(self) -> Sequence[str]:
        return open_steps(self.object) if self.object is not None else super().open_steps()

    def current_url(self) -> str:
        return url_of(self.object)


class SigningPage(_Step):
    """Where a signing stands: leads to that step."""

    def open_steps(self) -> Sequence[str]:
        return ()


class CertificateForm(forms.Form):
    signer = forms.CharField(error_messages={"required": "Choose a certificate."})


class SigningCertificate(_Step):
    """Step 1: the certificate that signs. Without an object it begins a signing."""

    step, heading, template_name = "certificate", "Who signs?", "fabric/signing/certificate.html"
    form_class = CertificateForm

    def get_object(self) -> Any:
        return super().get_object() if "pk" in self.kwargs else None

    def open_steps(self) -> Sequence[str]:
        return super().open_steps() if self.object is not None else ("certificate",)

    def get_initial(self) -> dict[str, Any]:
        return {"signer": self.object.signer if self.object else ""}

    def run(self, data: dict[str, Any]) -> str:
        if self.object is None:
            self.object = commands.begin_signing(self.actor, signer=data["signer"])
        else:
            commands.choose_signer(self.actor, signing=self.object, signer=data["signer"])
        return self.url_of("disk")

    def refusal(self) -> str:
        usable = [signer for signer in configured_signers(timezone.now()) if not signer.problem]
        return "" if usable else "There is no certificate to sign with."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mine = TemplateSigning.objects.visible_to(self.actor).select_related("job", "disk").filter(template=None)
        return super().get_context_data(
            signers=configured_signers(timezone.now()), unfinished=[] if self.object else mine[:10], **kwargs
        )


class DiskForm(forms.Form):
    disk = forms.CharField(error_messages={"required": "Choose a disk."})
    boot_certificate = forms.FileField(
        label="Boot certificate",
        required=False,
        help_text="Of the key that signed the disk's boot program; PEM or DER. Not needed for a disk that has one.",
    )

    def clean_disk(self) -> str:
        kind, _, name = str(self.cleaned_data["disk"]).partition(":")
        if kind not in ("upload", "import") or not name:
            raise ValidationError("Choose one of the disks.")
        return f"{kind}:{name}"


class SigningDisk(_Step):
    """Step 2: the disk, out of the library's unsigned ones and the import folder."""

    step, heading, template_name = "disk", "Which disk?", "fabric/signing/disk.html"
    form_class = DiskForm

    def get_initial(self) -> dict[str, Any]:
        return {"disk": self._chosen()}

    def run(self, data: dict[str, Any]) -> str:
        upload = data["boot_certificate"]
        if data["disk"] != self._chosen() or upload:
            kind, _, name = data["disk"].partition(":")
            commands.choose_disk(
                self.actor,
                signing=self.object,
                disk=self._uploaded(name) if kind == "upload" else None,
                import_name=name if kind == "import" else "",
                boot_certificate=upload.read() if upload else b"",
            )
        return self.url_of("name")

    def keep(self, form: forms.Form) -> None:
        if form.is_valid():
            try:
                self.run(form.cleaned_data)
            except DomainError:
                return  # it is said when this step is gone on with

    def _chosen(self) -> str:
        if self.object.disk_id:
            return f"upload:{self.object.disk_id}"
        return f"import:{self.object.import_name}" if self.object.import_name else ""

    def _uploaded(self, pk: str) -> UnsignedDisk:
        try:
            return UnsignedDisk.objects.visible_to(self.actor).get(pk=UUID(pk))
        except (ValueError, UnsignedDisk.DoesNotExist):
            raise commands.no_such_disk() from None

    def refusal(self) -> str:
        return "" if disk_choices(self.actor) else "There is no disk to sign yet."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(disks=disk_choices(self.actor), **kwargs)


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=128,
        help_text="Tenants' shielding data trusts disks by this name. Letters, digits, spaces and .()+-_, up to 64.",
    )
    version = forms.CharField(
        max_length=64,
        help_text="Four numbers, each below 65,536, such as 1.0.0.0. Tenants can trust a version and all later ones.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "decimal"}),
    )
    description = forms.CharField(max_length=500, required=False, help_text="What tenants read beside the name.")


class SigningName(_Step):
    """Step 3: name, version and description; the next version of a template that is there is one click."""

    step, heading, template_name = "name", "What is it called?", "fabric/signing/name.html"
    form_class = NameForm

    def get_initial(self) -> dict[str, Any]:
        signing = self.object
        return {"name": signing.name, "version": signing.version, "description": signing.description}

    def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = next((one for one in next_versions(self.actor) if one.name == request.POST.get("use")), None)
        if chosen is None:
            return super().post(request, *args, **kwargs)
        words = request.POST.get("description", "")
        commands.note_name(
            self.actor, signing=self.object, name=chosen.name, version=chosen.following, description=words
        )
        return self.go(self.url_of("name"))

    def keep(self, form: forms.Form) -> None:
        typed = {name: str(form.data.get(name, "")).strip() for name in ("name", "version", "description")}
        commands.note_name(self.actor, signing=self.object, **typed)

    def run(self, data: dict[str, Any]) -> str:
        commands.name_template(self.actor, signing=self.object, **data)
        return self.url_of("review")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(suggestions=next_versions(self.actor)[:12], **kwargs)


class _Starting(_Step):
    def start(self) -> str:
        """Begin, or go on, and say so in the notification bar."""
        job = commands.start_signing(self.actor, signing=self.object)
        said = (f"Signing {self.object}.", f"{self.object} is signed and published.", f"{self.object} was not signed.")
        notify_job(self.actor, job.pk, *said)
        return self.url_of("generate")


class SigningReview(_Starting):
    """Step 4: everything once more, with what the inspection found."""

    step, heading, template_name = "review", "Is this right?", "fabric/signing/review.html"
    next_label, next_icon = "Sign and publish", "check"

    def refusal(self) -> str:
        if self.object.inspection is None:
            return "The disk is not inspected yet."
        return "" if self.object.inspected else "This disk cannot be signed."

    def run(self, data: dict[str, Any]) -> str:  # noqa: ARG002
        if self.request.POST.get("go") == "inspect":
            commands.inspect_again(self.actor, signing=self.object)
            return self.url_of("review")
        return self.start()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job = self.object.inspection_job
        return super().get_context_data(
            boot=certificate_facts(self.object.boot_certificate),
            inspection=self.object.inspection,
            inspecting=self.object.inspection is None and bool(job and job.is_open),
            inspection_failed=job if job and job.is_failure and self.object.inspection is None else None,
            **kwargs,
        )


class SigningGenerate(_Starting):
    """Step 5: the job, live, until it is done; what stopped is taken up again here."""

    step, heading, template_name = "generate", "Signing", "fabric/signing/generate.html"
    next_label, next_icon = "Go on", "rotate-cw"

    def run(self, data: dict[str, Any]) -> str:  # noqa: ARG002
        return self.start()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job = panel_for(self.actor, self.portal, self.object.job_id) if self.object.job_id else None
        return super().get_context_data(job=job, under_way=self.object.state == SigningState.SIGNING, **kwargs)


class SigningSummary(_Step):
    """Step 6: what was made."""

    step, heading, template_name = "summary", "Signed and published", "fabric/signing/summary.html"

    def get_object(self) -> TemplateSigning:
        found = TemplateSigning.objects.visible_to(self.actor).select_related("template__disk", "job", "disk")
        return found.get(pk=self.kwargs["pk"])

    def get_buttons(self) -> list[CommandButton]:
        catalog = reverse("fabric:template-catalog", args=[self.object.template_id])
        return [CommandButton("catalog", "Catalog", "download", catalog, download=True)]

    def run(self, data: dict[str, Any]) -> str:  # noqa: ARG002
        return reverse("fabric:template", args=[self.object.template_id])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            template=self.object.template, boot=certificate_facts(self.object.boot_certificate), **kwargs
        )
