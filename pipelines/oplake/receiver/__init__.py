"""`oplake serve`: the receiver, through which work comes in over HTTP.

`server` starts it, `app` puts it together and says which path does what. A request is read by `body`, becomes lines in
`operations` (one scenario operation), `batches` (any kinds) or `telemetry` (OpenTelemetry), and is landed by `door`,
which answers when all is durable. `counts`, `history` and `status` say what came in; `openapi` describes the paths.

What an event is, and how it gets onto the disk, is decided in `oplake.landing`, for every way in alike.
"""
