"""What runs inside a guest: shell scripts for busybox, shipped as package data and read by `fabric.publishing`."""
