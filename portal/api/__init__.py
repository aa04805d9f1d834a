"""The REST API: one root, one shape for errors and pages, one description.

An application adds its routes in `AppConfig.ready()`:

    portal.api.routes.register(ApiRoutes("tenants", "tenants.api.urls"))

which mounts `tenants.api.urls` below `/api/v1/`. Every view is an `ApiView` (or adds `ApiAccess` to a generic DRF
view) and states `access` as pages do: `Access.TENANT`, `Access.FABRIC`, `Access.SIGNED_IN`, or `Access.HOST` and
`Access.PUBLIC` where the view authenticates callers itself. `self.actor` is the caller. Raise `portal.kernel.errors`;
they become problem documents (RFC 9457). Work that goes on is answered by `accepted(job, request)`: 202 with `Location`
of its job.
"""
