"""The secure worker: the one process in which a tenant's secrets meet.

It is started for one operation (provision or start), has no network, no broker and no database, talks to the host's
main process over its standard input and output alone, and gives back public results only. It writes the key request
itself and opens the answer itself; the main process merely carries both to HGS and back.

`channel` frames messages, `isolation` shuts the doors, `provisioning` and `starting` are the operations, `client` is
the main process's side.
"""
