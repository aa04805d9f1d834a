"""Shell scripts of `gf template build-linux` that run on the publisher's machine, read by `fabric.publishing`."""
