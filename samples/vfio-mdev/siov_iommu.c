// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOMMU in software, with one device behind it: the PF of siov_pf.c.
 *
 * It is a real one for the kernel: iommufd and the IOMMU core call it by the same struct
 * iommu_ops as they call VT-d. What is made simple is the inside:
 *
 *	PASID -> page table		an xarray
 *	IOVA -> page, permissions	an xarray in each page table
 *
 * Every request of the PF is looked up in both, and one that finds nothing is a fault.
 * There is no cache of translations (IOTLB) to be flushed, but its other half is
 * there: an unmap or a detach returns only when no request is under way that was
 * translated before. SRCU does the waiting.
 *
 * If the owner of a page table wants to be asked (IOMMU_HWPT_FAULT_ID_VALID), then what
 * finds nothing is no fault yet: the PF can make a page request (PCI PRI) and is told when
 * it is worth another try.
 */
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/property.h>
#include <linux/seq_file.h>
#include <linux/srcu.h>
#include <linux/xarray.h>

#include "siov_pf.h"

#define SIOV_MAX_PASIDS		BIT(20)	/* as PCI defines them */
#define SIOV_NUM_FAULTS		16

/* A page table. Entry: page frame number << 2 | SIOV_READ | SIOV_WRITE */
struct siov_domain {
	struct iommu_domain core;
	struct xarray pages;
};

#define SIOV_READ		BIT(0)
#define SIOV_WRITE		BIT(1)
#define SIOV_PFN_SHIFT		2

struct siov_fault {
	ioasid_t pasid;
	u64 iova;
	bool write;
	const char *why;
};

static struct iommu_device siov_iommu;
static const struct software_node siov_iommu_node = { .name = "siov-iommu" };
static struct dentry *siov_debugfs;

/* The PASID table of the PF: PASID -> struct siov_domain */
static DEFINE_XARRAY(siov_pasids);

/* Read side: a request of the PF, from its translation to the last byte moved */
DEFINE_STATIC_SRCU(siov_requests);

/* The PF, while the IOMMU core has it */
static struct device *siov_pf_dev;
static struct iopf_queue *siov_iopf_queue;
static unsigned int siov_iopf_users;
/* Protects siov_iopf_users */
static DEFINE_MUTEX(siov_iopf_lock);
static void (*siov_respond)(u32 grpid, bool mapped);

static struct siov_fault siov_faults[SIOV_NUM_FAULTS];
static unsigned long siov_fault_count;
/* Protects siov_pf_dev, siov_faults and siov_fault_count */
static DEFINE_SPINLOCK(siov_fault_lock);

static struct siov_domain *to_siov_domain(struct iommu_domain *core)
{
	return container_of(core, struct siov_domain, core);
}

/* Requests of the PF */

static void record_fault(ioasid_t pasid, u64 iova, bool write, const char *why)
{
	spin_lock(&siov_fault_lock);
	siov_faults[siov_fault_count++ % SIOV_NUM_FAULTS] =
		(struct siov_fault){ pasid, iova, write, why };
	/* Not interesting who has been told: there is no log to keep it out of */
	if (siov_pf_dev)
		iommu_report_pasid_fault(siov_pf_dev, pasid, iova,
					 write ? IOMMU_FAULT_WRITE : IOMMU_FAULT_READ);
	spin_unlock(&siov_fault_lock);
}

static const char *translate(struct siov_domain *domain, u64 iova, bool write, unsigned long *pfn)
{
	unsigned long bits;
	void *entry;

	if (!domain)
		return "the PASID has no page table";
	entry = iova >> SIOV_ADDR_WIDTH ? NULL : xa_load(&domain->pages, iova >> PAGE_SHIFT);
	if (!entry)
		return "the IOVA is not mapped";
	bits = xa_to_value(entry);
	if (!(bits & (write ? SIOV_WRITE : SIOV_READ)))
		return "the mapping forbids it";
	*pfn = bits >> SIOV_PFN_SHIFT;
	return pfn_valid(*pfn) ? NULL : "the page is no memory";
}

/**
 * siov_iommu_access() - a memory request of the PF
 * @pasid: the PASID that it carries
 * @iova: where
 * @buf: what is written, or where to put what is read
 * @len: how many bytes
 * @write: which of the two
 *
 * Context: may sleep.
 * Return: bytes moved. Fewer than @len if there was a fault at the next one, or if a page
 * request for that would be in place.
 */
size_t siov_iommu_access(ioasid_t pasid, u64 iova, void *buf, size_t len, bool write)
{
	struct siov_domain *domain;
	size_t part, done;
	unsigned long pfn;
	const char *why;
	void *page;
	int idx;

	idx = srcu_read_lock(&siov_requests);
	domain = xa_load(&siov_pasids, pasid);
	for (done = 0; done < len; done += part) {
		part = min(len - done, PAGE_SIZE - offset_in_page(iova + done));
		why = translate(domain, iova + done, write, &pfn);
		if (why) {
			if (!domain || !domain->core.iopf_handler)
				record_fault(pasid, iova + done, write, why);
			break;
		}
		page = kmap_local_page(pfn_to_page(pfn)) + offset_in_page(iova + done);
		if (write)
			memcpy(page, buf + done, part);
		else
			memcpy(buf + done, page, part);
		kunmap_local(page);
	}
	srcu_read_unlock(&siov_requests, idx);
	return done;
}
EXPORT_SYMBOL_NS_GPL(siov_iommu_access, SIOV);

/* Nothing that was translated until now is under way any more */
static void wait_for_requests(void)
{
	synchronize_srcu_expedited(&siov_requests);
}

/* Page requests of the PF */

/**
 * siov_iommu_fault() - the PF gives up on a request that found nothing
 * @pasid: the PASID that it carries
 * @iova: where
 * @write: whether it was to write
 */
void siov_iommu_fault(ioasid_t pasid, u64 iova, bool write)
{
	record_fault(pasid, iova, write, "nobody has mapped the page");
}
EXPORT_SYMBOL_NS_GPL(siov_iommu_fault, SIOV);

/**
 * siov_iommu_page_request() - ask for a page that siov_iommu_access() has not found
 * @pasid: the PASID
 * @iova: an address in the page
 * @write: whether it is to be written
 * @grpid: comes back with the response
 *
 * The response goes to the function that was given to siov_iommu_set_respond(), maybe
 * before this returns. There is one for each request that was made.
 *
 * Context: may sleep.
 * Return: whether the request was made. If not, the PASID has nobody who wants it.
 */
bool siov_iommu_page_request(ioasid_t pasid, u64 iova, bool write, u32 grpid)
{
	struct iopf_fault request = {
		.fault = {
			.type = IOMMU_FAULT_PAGE_REQ,
			.prm = {
				.flags = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID |
					 IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE |
					 IOMMU_FAULT_PAGE_RESPONSE_NEEDS_PASID,
				.pasid = pasid,
				.grpid = grpid,
				.perm = write ? IOMMU_FAULT_PERM_WRITE : IOMMU_FAULT_PERM_READ,
				.addr = iova & PAGE_MASK,
			},
		},
	};
	struct siov_domain *domain;
	bool made;
	int idx;

	/* Who detaches the PASID waits until the request is in the queue, and empties that */
	idx = srcu_read_lock(&siov_requests);
	domain = xa_load(&siov_pasids, pasid);
	made = domain && domain->core.iopf_handler;
	if (made)
		iommu_report_device_fault(siov_pf_dev, &request);
	srcu_read_unlock(&siov_requests, idx);
	return made;
}
EXPORT_SYMBOL_NS_GPL(siov_iommu_page_request, SIOV);

/**
 * siov_iommu_set_respond() - who is told of page responses
 * @respond: called with the grpid of a page request, and whether the page is there now. May
 *	be called while a request is made, so it must not take what is held for that.
 *
 * Set before the PF is there, and stays.
 */
void siov_iommu_set_respond(void (*respond)(u32 grpid, bool mapped))
{
	siov_respond = respond;
}
EXPORT_SYMBOL_NS_GPL(siov_iommu_set_respond, SIOV);

static void siov_page_response(struct device *dev, struct iopf_fault *request,
			       struct iommu_page_response *response)
{
	siov_respond(response->grpid, response->code == IOMMU_PAGE_RESP_SUCCESS);
}

static int siov_dev_enable_feat(struct device *dev, enum iommu_dev_features feat)
{
	int ret = 0;

	if (feat != IOMMU_DEV_FEAT_IOPF)
		return -ENODEV;
	mutex_lock(&siov_iopf_lock);
	if (!siov_iopf_users)
		ret = iopf_queue_add_device(siov_iopf_queue, dev);
	siov_iopf_users += !ret;
	mutex_unlock(&siov_iopf_lock);
	return ret;
}

static int siov_dev_disable_feat(struct device *dev, enum iommu_dev_features feat)
{
	if (feat != IOMMU_DEV_FEAT_IOPF)
		return -ENODEV;
	mutex_lock(&siov_iopf_lock);
	if (!--siov_iopf_users)
		iopf_queue_remove_device(siov_iopf_queue, dev);
	mutex_unlock(&siov_iopf_lock);
	return 0;
}

/* Page tables: what IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP come down to */

static struct iommu_domain *siov_domain_alloc(struct device *dev)
{
	struct siov_domain *domain;

	/* A page table can outlive the device: somebody's iommufd holds it */
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	domain = kzalloc(sizeof(*domain), GFP_KERNEL_ACCOUNT);
	if (!domain) {
		module_put(THIS_MODULE);
		return ERR_PTR(-ENOMEM);
	}
	xa_init(&domain->pages);
	domain->core.geometry.aperture_end = BIT_ULL(SIOV_ADDR_WIDTH) - 1;
	domain->core.geometry.force_aperture = true;
	return &domain->core;
}

static void siov_domain_free(struct iommu_domain *core)
{
	struct siov_domain *domain = to_siov_domain(core);

	xa_destroy(&domain->pages);
	kfree(domain);
	module_put(THIS_MODULE);
}

static int siov_map_pages(struct iommu_domain *core, unsigned long iova, phys_addr_t paddr,
			  size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	struct siov_domain *domain = to_siov_domain(core);
	unsigned long bits;
	int ret = 0;

	for (; pgcount && !ret; pgcount--) {
		bits = PHYS_PFN(paddr) << SIOV_PFN_SHIFT;
		bits |= prot & IOMMU_READ ? SIOV_READ : 0;
		bits |= prot & IOMMU_WRITE ? SIOV_WRITE : 0;
		ret = xa_insert(&domain->pages, iova >> PAGE_SHIFT, xa_mk_value(bits), gfp);
		if (ret)
			break;
		iova += pgsize;
		paddr += pgsize;
		*mapped += pgsize;
	}
	return ret;
}

static size_t siov_unmap_pages(struct iommu_domain *core, unsigned long iova, size_t pgsize,
			       size_t pgcount, struct iommu_iotlb_gather *gather)
{
	struct siov_domain *domain = to_siov_domain(core);
	size_t unmapped = 0;

	while (pgcount-- && xa_erase(&domain->pages, (iova + unmapped) >> PAGE_SHIFT))
		unmapped += pgsize;
	return unmapped;
}

/* Called before the pages are given back to their owner */
static void siov_iotlb_sync(struct iommu_domain *core, struct iommu_iotlb_gather *gather)
{
	wait_for_requests();
}

static void siov_flush_iotlb_all(struct iommu_domain *core)
{
	wait_for_requests();
}

static phys_addr_t siov_iova_to_phys(struct iommu_domain *core, dma_addr_t iova)
{
	void *entry = xa_load(&to_siov_domain(core)->pages, iova >> PAGE_SHIFT);

	if (!entry)
		return 0;
	return PFN_PHYS(xa_to_value(entry) >> SIOV_PFN_SHIFT) + offset_in_page(iova);
}

static bool siov_enforce_cache_coherency(struct iommu_domain *core)
{
	return true;	/* The CPU moves the data */
}

/* Who uses which page table */

/* PASID 0 is the PF itself, which has no DMA of its own: it may be given any page table */
static int siov_attach_dev(struct iommu_domain *core, struct device *dev)
{
	struct siov_domain *old = xa_store(&siov_pasids, IOMMU_NO_PASID, to_siov_domain(core),
					   GFP_KERNEL);

	if (xa_is_err(old))
		return xa_err(old);
	wait_for_requests();
	return 0;
}

/* The same for page tables that are none: all requests of PASID 0 fault */
static int siov_detach_dev(struct iommu_domain *core, struct device *dev)
{
	xa_erase(&siov_pasids, IOMMU_NO_PASID);
	wait_for_requests();
	return 0;
}

static int siov_set_dev_pasid(struct iommu_domain *core, struct device *dev, ioasid_t pasid,
			      struct iommu_domain *old)
{
	void *prev = xa_store(&siov_pasids, pasid, to_siov_domain(core), GFP_KERNEL_ACCOUNT);

	if (xa_is_err(prev))
		return xa_err(prev);
	if (prev)
		wait_for_requests();
	return 0;
}

static void siov_remove_dev_pasid(struct device *dev, ioasid_t pasid, struct iommu_domain *core)
{
	xa_erase(&siov_pasids, pasid);
	wait_for_requests();
}

static const struct iommu_domain_ops siov_domain_ops = {
	.attach_dev			= siov_attach_dev,
	.set_dev_pasid			= siov_set_dev_pasid,
	.map_pages			= siov_map_pages,
	.unmap_pages			= siov_unmap_pages,
	.iotlb_sync			= siov_iotlb_sync,
	.flush_iotlb_all		= siov_flush_iotlb_all,
	.iova_to_phys			= siov_iova_to_phys,
	.enforce_cache_coherency	= siov_enforce_cache_coherency,
	.free				= siov_domain_free,
};

static const struct iommu_domain_ops siov_no_domain_ops = {
	.attach_dev	= siov_detach_dev,
};

static struct iommu_domain siov_blocked_domain = {
	.type	= IOMMU_DOMAIN_BLOCKED,
	.ops	= &siov_no_domain_ops,
};

static struct iommu_domain siov_identity_domain = {
	.type	= IOMMU_DOMAIN_IDENTITY,
	.ops	= &siov_no_domain_ops,
};

/* The device behind the IOMMU */

static bool siov_capable(struct device *dev, enum iommu_cap cap)
{
	return cap == IOMMU_CAP_CACHE_COHERENCY || cap == IOMMU_CAP_ENFORCE_CACHE_COHERENCY;
}

static void siov_set_pf(struct device *dev)
{
	spin_lock(&siov_fault_lock);
	siov_pf_dev = dev;
	spin_unlock(&siov_fault_lock);
}

static struct iommu_device *siov_probe_device(struct device *dev)
{
	siov_set_pf(dev);
	return &siov_iommu;
}

static void siov_release_device(struct device *dev)
{
	siov_set_pf(NULL);
}

/* No DMA API for a PF that does no DMA of its own */
static int siov_def_domain_type(struct device *dev)
{
	return IOMMU_DOMAIN_IDENTITY;
}

static const struct iommu_ops siov_iommu_ops = {
	.owner			= THIS_MODULE,
	.pgsize_bitmap		= PAGE_SIZE,
	.capable		= siov_capable,
	.probe_device		= siov_probe_device,
	.release_device		= siov_release_device,
	.device_group		= generic_device_group,
	.def_domain_type	= siov_def_domain_type,
	.domain_alloc_paging	= siov_domain_alloc,
	.remove_dev_pasid	= siov_remove_dev_pasid,
	.dev_enable_feat	= siov_dev_enable_feat,
	.dev_disable_feat	= siov_dev_disable_feat,
	.page_response		= siov_page_response,
	.identity_domain	= &siov_identity_domain,
	.blocked_domain		= &siov_blocked_domain,
	.release_domain		= &siov_blocked_domain,
	.default_domain_ops	= &siov_domain_ops,
};

/**
 * siov_iommu_fwnode() - how the PF names its IOMMU
 *
 * Return: the firmware node of the IOMMU.
 */
struct fwnode_handle *siov_iommu_fwnode(void)
{
	return siov_iommu.fwnode;
}
EXPORT_SYMBOL_NS_GPL(siov_iommu_fwnode, SIOV);

/* debugfs siov_iommu/faults: the number of faults, and the last of them */
static int faults_show(struct seq_file *s, void *unused)
{
	struct siov_fault *f;
	unsigned long i;

	spin_lock(&siov_fault_lock);
	seq_printf(s, "%lu\n", siov_fault_count);
	i = siov_fault_count > SIOV_NUM_FAULTS ? siov_fault_count - SIOV_NUM_FAULTS : 0;
	for (; i < siov_fault_count; i++) {
		f = &siov_faults[i % SIOV_NUM_FAULTS];
		seq_printf(s, "PASID %u %s 0x%llx: %s\n", f->pasid,
			   f->write ? "write" : "read", f->iova, f->why);
	}
	spin_unlock(&siov_fault_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(faults);

/*
 * debugfs siov_iommu/read: "PASID IOVA" written here makes a request as a broken PF
 * would, with any PASID. Fails with EFAULT if the IOMMU stops it.
 */
static ssize_t read_write(struct file *file, const char __user *ubuf, size_t count, loff_t *ppos)
{
	char buf[64] = "";
	ioasid_t pasid;
	u64 iova;
	u8 byte;

	if (count >= sizeof(buf) || copy_from_user(buf, ubuf, count))
		return -EINVAL;
	if (sscanf(buf, "%u %llx", &pasid, &iova) != 2)
		return -EINVAL;
	return siov_iommu_access(pasid, iova, &byte, 1, false) ? count : -EFAULT;
}

static const struct file_operations read_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= read_write,
};

static int __init siov_iommu_init(void)
{
	int ret;

	ret = software_node_register(&siov_iommu_node);
	if (ret)
		return ret;
	siov_iommu.fwnode = software_node_fwnode(&siov_iommu_node);
	siov_iommu.max_pasids = SIOV_MAX_PASIDS;
	siov_iopf_queue = iopf_queue_alloc("siov-iommu");
	if (!siov_iopf_queue) {
		ret = -ENOMEM;
		goto err_node;
	}
	ret = iommu_device_sysfs_add(&siov_iommu, NULL, NULL, "siov-iommu");
	if (ret)
		goto err_queue;
	ret = iommu_device_register(&siov_iommu, &siov_iommu_ops, NULL);
	if (ret)
		goto err_sysfs;

	siov_debugfs = debugfs_create_dir("siov_iommu", NULL);
	debugfs_create_file("faults", 0400, siov_debugfs, NULL, &faults_fops);
	debugfs_create_file("read", 0200, siov_debugfs, NULL, &read_fops);
	return 0;

err_sysfs:
	iommu_device_sysfs_remove(&siov_iommu);
err_queue:
	iopf_queue_free(siov_iopf_queue);
err_node:
	software_node_unregister(&siov_iommu_node);
	return ret;
}
module_init(siov_iommu_init);

static void __exit siov_iommu_exit(void)
{
	debugfs_remove(siov_debugfs);
	iommu_device_unregister(&siov_iommu);
	iommu_device_sysfs_remove(&siov_iommu);
	iopf_queue_free(siov_iopf_queue);
	software_node_unregister(&siov_iommu_node);
	xa_destroy(&siov_pasids);
}
module_exit(siov_iommu_exit);

MODULE_DESCRIPTION("IOMMU in software for the SIOV sample");
MODULE_LICENSE("GPL");
