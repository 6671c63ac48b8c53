/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASID-backed virtual devices (vdevs) on the mdev bus.
 *
 * A sub-device driver shares one physical function (PF) between vdevs.  It
 * describes what a vdev looks like (config space, BARs, vectors) and runs the
 * hardware behind it; everything that all vdevs do the same way (mdev types
 * and life cycle, PASID, iommufd, the VFIO PCI interface) is done by
 * mdev-pasid.ko.  The life of a vdev, and the callback for each step:
 *
 *   create -> open (bind to an iommufd) -> dma_start <-> dma_stop -> reset,
 *   close -> destroy
 */
#ifndef LINUX_MDEV_PASID_H
#define LINUX_MDEV_PASID_H

#include <linux/bits.h>
#include <linux/iommu.h>
#include <linux/irq_work.h>
#include <linux/mdev.h>
#include <linux/mutex.h>
#include <linux/ratelimit_types.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <uapi/linux/mdev_pasid.h>
#include <uapi/linux/pci_regs.h>

struct eventfd_ctx;
struct mdev_pasid_vdev;

#define MDEV_PASID_NUM_BARS	6
#define MDEV_PASID_CONFIG_SIZE	4096
#define MDEV_PASID_MAX_VECTORS	64
#define MDEV_PASID_FAULT_SLOTS	16
#define MDEV_PASID_SENTENCE	256

/**
 * struct mdev_pasid_refusal - the last thing that was refused, and why
 * @lock: protects the rest
 * @count: how many refusals there were
 * @time: when the last one was, in seconds of UTC
 * @text: one sentence about it: the object, the cause and the remedy
 * @ratelimit: of the sentences that go to the log
 */
struct mdev_pasid_refusal {
	spinlock_t lock;	/* see above */
	unsigned long count;
	time64_t time;
	char text[MDEV_PASID_SENTENCE];
	struct ratelimit_state ratelimit;
};

/**
 * struct mdev_pasid_dma - the DMA that a parent driver plans
 * @max_pasids: PASIDs in use at one time
 * @addr_width: width of the addresses that the device emits, in bits
 * @coherent: vdevs need an IOMMU that enforces cache coherency (ignores no-snoop)
 * @page_faults: vdevs make page requests (PCI PRI). Else no page table with a fault queue
 *	is attached to one: its user could keep the device waiting for a response
 *
 * mdev_pasid_register_parent() checks the plan and refuses what the PF or its
 * IOMMU cannot do, so that nothing of it can fail at the first DMA.
 */
struct mdev_pasid_dma {
	u32 max_pasids;
	u8 addr_width;
	bool coherent;
	bool page_faults;
};

/**
 * enum mdev_pasid_stop - how dma_stop() treats work that was accepted
 * @MDEV_PASID_DRAIN: let it complete; the translation stays until it has
 * @MDEV_PASID_ABORT: abandon it
 */
enum mdev_pasid_stop {
	MDEV_PASID_DRAIN,
	MDEV_PASID_ABORT,
};

/**
 * struct mdev_pasid_ops - what a sub-device driver does for a vdev
 *
 * A callback that fails leaves word by mdev_pasid_refuse(), as an errno alone helps
 * nobody.
 *
 * All callbacks may sleep.  Except for @create and @destroy they are called
 * with &mdev_pasid_vdev.lock held, so that a driver needs no lock of its own for
 * what only callbacks touch.
 *
 * @create: claim hardware and describe the vdev: identity and capabilities by
 *	the mdev_pasid_config_*() helpers, &mdev_pasid_vdev.bar and the vectors.  The
 *	PASID is allocated already.
 * @destroy: undo @create.  Nobody uses the vdev any more.
 * @open: a user has bound the vdev to an iommufd.  Optional.
 * @close: the user has gone.  DMA has been stopped, @reset was called.  Optional.
 * @dma_start: the PASID has a translation and the user has set Bus Master Enable:
 *	the hardware may do DMA from now on.
 * @dma_stop: the opposite.  When it returns the hardware is quiet: it has
 *	nothing in flight for the PASID and accepts nothing.  It must not fail, nor wait
 *	for ever: hardware that cannot be stopped is what &mdev_pasid_vdev.keep_pasid is for.
 *	Portal pages are unmapped before the call.
 * @reset: bring the vdev back to its state after @create.  DMA is stopped.
 * @read: read @len (1, 2, 4 or 8) bytes at the naturally aligned @off of BAR @bar. Only the
 *	lower @len bytes of what it returns count.
 * @write: write @len bytes at @off of BAR @bar; same rules.  @val is zero-extended.
 *	A write of 64 aligned bytes, as from MOVDIR64B, arrives as eight calls in
 *	ascending order with nothing between them.
 * @portal: physical address of the page that backs page @page of BAR @bar, or 0
 *	if it must not be touched now: what the user stores is dropped then.  Only asked
 *	for pages in &mdev_pasid_bar.portals and only while DMA is started.  The driver
 *	calls mdev_pasid_unmap_portals() when the answer changes for another reason than
 *	@dma_start and @dma_stop, before an address that it has told becomes invalid.
 */
struct mdev_pasid_ops {
	int (*create)(struct mdev_pasid_vdev *vdev);
	void (*destroy)(struct mdev_pasid_vdev *vdev);
	int (*open)(struct mdev_pasid_vdev *vdev);
	void (*close)(struct mdev_pasid_vdev *vdev);
	int (*dma_start)(struct mdev_pasid_vdev *vdev);
	void (*dma_stop)(struct mdev_pasid_vdev *vdev, enum mdev_pasid_stop how);
	void (*reset)(struct mdev_pasid_vdev *vdev);
	u64 (*read)(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, unsigned int len);
	void (*write)(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, u64 val,
		      unsigned int len);
	phys_addr_t (*portal)(struct mdev_pasid_vdev *vdev, unsigned int bar, unsigned long page);
};

/**
 * struct mdev_pasid_driver - a sub-device driver
 * @mdev: set .driver.name, .driver.owner, .get_available and .show_description,
 *	and .driver.dev_groups to a list that includes &mdev_pasid_attr_group if the
 *	driver has attributes of its own; the core sets the rest
 * @ops: callbacks
 * @vdev_size: size of the driver's vdev structure, whose first member is a
 *	struct mdev_pasid_vdev
 */
struct mdev_pasid_driver {
	struct mdev_driver mdev;
	const struct mdev_pasid_ops *ops;
	size_t vdev_size;

	/* private: last_error of the driver on the mdev bus */
	struct mdev_pasid_refusal refusal;
};

/**
 * struct mdev_pasid_parent - a PF that vdevs can be created on
 * @mdev: mdev's own view of the parent
 * @dev: the PF, whose PASIDs back the vdevs
 * @drv: the sub-device driver
 * @dma: the plan, as checked
 * @refusal: the last refusal of a create on this PF
 * @node: in the list of all parents
 */
struct mdev_pasid_parent {
	struct mdev_parent mdev;
	struct device *dev;
	struct mdev_pasid_driver *drv;
	struct mdev_pasid_dma dma;
	struct mdev_pasid_refusal refusal;
	struct list_head node;

	/* private: mdev_pasid/last_error of the PF */
	struct device_attribute last_error;
	struct attribute *attrs[2];
	struct attribute_group group;
};

/**
 * struct mdev_pasid_bar - a BAR of a vdev, always 64-bit memory
 * @size: in bytes, a power of two of at least a page; 0 if there is no such BAR.
 *	The BAR with the next number must be 0 then.
 * @portals: bit n: page n may be mapped by the user
 * @prefetchable: as the BAR says
 */
struct mdev_pasid_bar {
	u64 size;
	unsigned long portals;
	bool prefetchable;
};

/**
 * struct mdev_pasid_faults - DMA of a vdev that was refused
 * @lock: protects what follows; taken in any context
 * @count: faults since the vdev was bound
 * @total: faults since it was created
 * @slots: the last of them; number n is in slot n % MDEV_PASID_FAULT_SLOTS
 * @logged: this user has had his line in the log
 * @work: tells the user
 */
struct mdev_pasid_faults {
	raw_spinlock_t lock;	/* see above */
	u64 count;
	u64 total;
	struct mdev_pasid_fault slots[MDEV_PASID_FAULT_SLOTS];
	bool logged;
	struct irq_work work;
};

/**
 * struct mdev_pasid_vdev - a PASID-backed virtual device
 * @vfio: the vfio_device; must be the first member
 * @mdev: the device on the mdev bus
 * @parent: the PF it lives on
 * @pasid: its PASID on the PF, from create to destroy
 * @bar: its BARs, set in create; a driver can change which pages are portals in open
 * @lock: serialises callbacks, and protects everything below that is not
 *	marked otherwise; that is the core's own.  User memory is never touched with it
 *	held, since the fault handler takes it under mmap_lock.
 * @config: config space as the user sees it
 * @config_wmask: bits of @config that the user can write
 * @config_reset: what @config is after a reset
 * @num_vectors: MSI-X vectors, set in create by mdev_pasid_config_msix()
 * @msix_bar: BAR that holds the MSI-X table and PBA
 * @msix_table: offset of the table in it
 * @msix_pba: offset of the PBA in it
 * @msix: the MSI-X table as the user wrote it (software only: vectors are
 *	routed by VFIO_DEVICE_SET_IRQS)
 * @exists: create has succeeded
 * @endpoint: in the list of all vdevs that are bound, whose lock protects @since, @pt and @hwpt
 * @devid: ID of the vdev in its iommufd; as @holder
 * @since: when it was bound, attached or detached last
 * @pt: ID of the IOAS or HWPT that it was attached to, or 0
 * @hwpt: ID of the HWPT that translates, or 0
 * @open: the vdev is bound
 * @holder: the process that bound it; set while nobody has the vdev open
 * @holder_comm: its name
 * @translated: the PASID has a translation
 * @replacing: it is being exchanged for another; nobody reaches the BARs meanwhile
 * @replaced: where they wait for the end of @replacing
 * @dma: dma_start() was called
 * @keep_pasid: set by the driver if its hardware may still do DMA for the PASID although
 *	it was told to stop.  Nobody gets that PASID again, not even who binds the vdev
 *	next, until the machine is reset.
 * @sink: what backs the portal pages of an attached vdev whose hardware must not be touched
 * @irq_lock: protects the eventfds that follow; taken in interrupts
 * @trigger: an eventfd for each vector, or NULL
 * @err_trigger: eventfd for VFIO_PCI_ERR_IRQ_INDEX
 * @req_trigger: eventfd for VFIO_PCI_REQ_IRQ_INDEX
 * @fault_trigger: eventfd for VFIO_MDEV_PASID_FAULT_IRQ_INDEX
 * @faults: DMA that was refused
 * @refusal: the last refusal
 */
struct mdev_pasid_vdev {
	struct vfio_device vfio;
	struct mdev_device *mdev;
	struct mdev_pasid_parent *parent;
	ioasid_t pasid;
	struct mdev_pasid_bar bar[MDEV_PASID_NUM_BARS];
	struct mutex lock;	/* see above */
	u8 *config;
	u8 *config_wmask;
	u8 *config_reset;
	unsigned int num_vectors;
	unsigned int msix_bar;
	u32 msix_table;
	u32 msix_pba;
	__le32 *msix;
	bool exists;
	struct list_head endpoint;
	u32 devid;
	time64_t since;
	u32 pt;
	u32 hwpt;
	bool open;
	pid_t holder;
	char holder_comm[TASK_COMM_LEN];
	bool translated;
	bool replacing;
	wait_queue_head_t replaced;
	bool dma;
	bool keep_pasid;
	struct page *sink;

	spinlock_t irq_lock;	/* see above */
	struct eventfd_ctx *trigger[MDEV_PASID_MAX_VECTORS];
	struct eventfd_ctx *err_trigger;
	struct eventfd_ctx *req_trigger;
	struct eventfd_ctx *fault_trigger;

	struct mdev_pasid_faults faults;

	struct mdev_pasid_refusal refusal;
};

/**
 * mdev_pasid_bus_master - whether the user has set Bus Master Enable
 * @vdev: the vdev, whose lock is held
 */
static inline bool mdev_pasid_bus_master(struct mdev_pasid_vdev *vdev)
{
	lockdep_assert_held(&vdev->lock);
	return vdev->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

extern const struct attribute_group mdev_pasid_attr_group;

int mdev_pasid_register_driver(struct mdev_pasid_driver *drv);
void mdev_pasid_unregister_driver(struct mdev_pasid_driver *drv);

int mdev_pasid_register_parent(struct mdev_pasid_parent *parent, struct device *dev,
			       struct mdev_pasid_driver *drv, const struct mdev_pasid_dma *dma,
			       struct mdev_type **types, unsigned int nr_types);
void mdev_pasid_unregister_parent(struct mdev_pasid_parent *parent);

/* Called from create() */
void mdev_pasid_config_identity(struct mdev_pasid_vdev *vdev, u16 vendor, u16 device,
				u32 class_rev, u16 subsys_vendor, u16 subsys);
int mdev_pasid_config_msix(struct mdev_pasid_vdev *vdev, unsigned int num_vectors,
			   unsigned int bar, u32 table, u32 pba);

/* Called whenever the vdev exists */
void mdev_pasid_signal(struct mdev_pasid_vdev *vdev, unsigned int vector);
void mdev_pasid_signal_error(struct mdev_pasid_vdev *vdev);
void mdev_pasid_unmap_portals(struct mdev_pasid_vdev *vdev);

__printf(2, 3) void mdev_pasid_refuse(struct mdev_pasid_vdev *vdev, const char *fmt, ...);
__printf(3, 4) void mdev_pasid_refuse_parent(struct mdev_pasid_driver *drv, struct device *dev,
					     const char *fmt, ...);

#endif /* LINUX_MDEV_PASID_H */
