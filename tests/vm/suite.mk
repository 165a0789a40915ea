# SPDX-License-Identifier: Apache-2.0
# The tests in a virtual machine; the machine and what it is made of: tests/vm/vm.

.PHONY: check-vm
check-vm: check-programs ## boot Linux 6.1 with SELinux in an emulator and run the tests in it (root, Debian)
	tests/vm/vm prep --build $(B)
	tests/vm/vm check --build $(B)
