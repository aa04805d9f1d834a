"""`python -m tenants.offline_page` renews the published SHA-256 after a change of the page's sources."""

from pathlib import Path

from tenants.offline_page.build import FILE_NAME, offline_page

if __name__ == "__main__":
    line = f"{offline_page().sha256}  {FILE_NAME}\n"  # as sha256sum writes and checks it
    Path(__file__).with_name("SHA256").write_text(line, encoding="ascii")
