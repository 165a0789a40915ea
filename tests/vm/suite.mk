# SPDX-License-Identifier: Apache-2.0
# The tests in a virtual machine; the machine and what it is made of: tests/vm/vm.

.PHONY: check-vm
check-vm: test-deps ## boot Linux 6.1 with SELinux in QEMU and run the tests in it (root, Debian)
	@$(MAKE) $(TEST_JOBS) --no-print-directory check-programs
	@tests/vm/vm check --build $(B)
