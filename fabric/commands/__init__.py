"""One function per change: actor in, policy check, compare-and-swap, audit event, work enqueued on commit."""
