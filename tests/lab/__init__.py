"""The lab: real libvirt hosts on one machine, without systemd and without KVM.

A host is a set of namespaces with a libvirtd (and sshd) of its own; `make lab` starts four and a
panel looking at them, the tests start what they need. All of it dies with the process that made
it and leaves nothing behind.
"""
