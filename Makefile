# SPDX-License-Identifier: GPL-2.0-only
#
# "make help" says what there is. The kernel's build system reads this file too,
# when it builds the modules outside of a kernel tree.

ifneq ($(KERNELRELEASE),)

subdir-ccflags-y := -I$(src)/include
obj-y := $(patsubst $(src)/%/Makefile,%/,$(wildcard $(addprefix $(src)/,\
	drivers/vfio/mdev/Makefile drivers/dma/idxd/vdev/Makefile samples/vfio-mdev/Makefile)))

else

KDIR ?= /lib/modules/$(shell uname -r)/build
# What "make menuconfig" sets in a kernel tree.
CONFIG := CONFIG_VFIO_MDEV_PASID=m CONFIG_INTEL_IDXD_VDEV=m CONFIG_SAMPLE_VFIO_MDEV_PASID=m
LAB := tools/lab/lab
# What "make test" also runs in the debug kernel, to be quick.
CORE_TESTS := 'vfio/*' 'iommu/*' sample/sample_vdev
RACE_TESTS := 'vfio/*' 'iommu/*' 'idxd/*' sample/sample_vdev sample/sample_pri
SECONDS ?= 1800
# Else it is what the shell of a recipe starts to count at
unexport SECONDS

help:
	@echo 'In the lab machine, which is built first where it is missing:'
	@echo '  demo          a DSA work queue becomes a vdev and does DMA, step by step; then "guest"'
	@echo '  guest         a DSA work queue in a guest, driven by its own idxd'
	@echo '  sample        a driver of vdevs to learn from, with its hardware in software'
	@echo '  test          all tests; TESTS="name.." for some, V=1 to see their TAP'
	@echo '  test-debug    the tests in a kernel that looks for memory errors and leaks, and where'
	@echo '                allocations fail; takes 40 minutes, and 15 more to build all'
	@echo '  test-kcsan    most tests that need no guest, in a kernel that looks for data races'
	@echo '  fuzz          fuzz the interface of vdevs in the debug kernel, for SECONDS=$(SECONDS)'
	@echo '  soak          vdevs come and go beside guests and the host in the debug kernel,'
	@echo '                for SECONDS=$(SECONDS)'
	@echo '  bench         what a vdev costs, beside what people use today; ROWS="name.." for some'
	@echo '  bench-compare the same for another revision, too (BASE=<rev>), and what differs'
	@echo '  shell         a prompt'
	@echo '  lab           only build it'
	@echo '  lab-clean     remove all that was built and is not in use'
	@echo '  htmldocs      the documentation as HTML (KSRC=<kernel source>: without the lab)'
	@echo 'For a kernel that carries patches/linux-6.12:'
	@echo '  modules       build the modules outside of its tree (KDIR=$(KDIR))'
	@echo '  install-tree  add our directories to its source (KSRC=<kernel source>)'
	@echo '  clean         remove what "make modules" left'

modules clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(CONFIG) $@

install-tree:
	tools/install-tree $(KSRC)

htmldocs:
ifdef KSRC
	tools/docs/htmldocs $(KSRC)
else
	@$(LAB) root 'cd /lab/src && tools/docs/htmldocs /lab/kernel/src'
endif

lab:
	@$(LAB) build
demo guest sample shell:
	@$(LAB) $@
test:
	@$(LAB) test $(TESTS)
	@$(if $(TESTS),,LAB_LANE=debug $(LAB) test $(CORE_TESTS))
test-debug:
	@LAB_LANE=debug $(LAB) test $(TESTS)
test-kcsan:
	@LAB_LANE=kcsan $(LAB) test $(RACE_TESTS)
fuzz soak:
	@LAB_LANE=debug $(LAB) $@ $(SECONDS)
bench:
	@tools/bench/bench $(ROWS)
bench-compare:
	@tools/bench/bench-compare "$(BASE)" $(ROWS)
lab-clean:
	@$(LAB) clean

.PHONY: help modules clean install-tree htmldocs lab demo guest sample shell test test-debug test-kcsan fuzz soak bench bench-compare lab-clean

endif
