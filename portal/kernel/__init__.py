"""What every application shares: actors, errors, decisions, audit events, jobs. It knows none of them."""
