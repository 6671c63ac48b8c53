// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: read(), write() and mmap() of the device file.
 *
 * An access to a BAR is of 1, 2, 4 or 8 bytes and naturally aligned, or of 64
 * aligned bytes, which is what MOVDIR64B makes: eight accesses with nothing
 * between them. Config space takes accesses of any size.
 *
 * While the vdev is moved from one address space to another, accesses to BARs and to
 * mapped portals wait: whoever submits is served by the old one or the new one.
 */
#include <linux/file.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pci_regs.h>
#include <linux/pfn_t.h>
#include <linux/uaccess.h>

#include "pasid_private.h"
#include "trace.h"

#define MAX_ACCESS	64

static u64 msix_read(struct mdev_pasid_vdev *vdev, u32 off, unsigned int len)
{
	u64 val = 0;

	memcpy(&val, (u8 *)vdev->msix + off, len);
	return le64_to_cpu((__force __le64)val);
}

static void msix_write(struct mdev_pasid_vdev *vdev, u32 off, u64 val, unsigned int len)
{
	__le64 data = cpu_to_le64(val);
	__le32 *entry = vdev->msix + off / PCI_MSIX_ENTRY_SIZE * (PCI_MSIX_ENTRY_SIZE / 4);

	memcpy((u8 *)vdev->msix + off, &data, len);
	/* What is reserved reads as 0 */
	entry[PCI_MSIX_ENTRY_LOWER_ADDR / 4] &= cpu_to_le32(~3U);
	entry[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] &= cpu_to_le32(PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static u64 bar_read(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, unsigned int len)
{
	if (bar == vdev->msix_bar) {
		if (in_range(off, vdev->msix_table, vdev->num_vectors * PCI_MSIX_ENTRY_SIZE))
			return msix_read(vdev, off - vdev->msix_table, len);
		/* An eventfd takes every interrupt at once: none is ever pending */
		if (in_range(off, vdev->msix_pba, DIV_ROUND_UP(vdev->num_vectors, 64) * 8))
			return 0;
	}
	return vdev_ops(vdev)->read(vdev, bar, off, len);
}

static void bar_write(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, u64 val,
		      unsigned int len)
{
	if (bar == vdev->msix_bar) {
		if (in_range(off, vdev->msix_table, vdev->num_vectors * PCI_MSIX_ENTRY_SIZE)) {
			msix_write(vdev, off - vdev->msix_table, val, len);
			return;
		}
		if (in_range(off, vdev->msix_pba, DIV_ROUND_UP(vdev->num_vectors, 64) * 8))
			return;
	}
	vdev_ops(vdev)->write(vdev, bar, off, val, len);
}

static bool is_bar_access(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, size_t count)
{
	if (bar >= MDEV_PASID_NUM_BARS || off >= vdev->bar[bar].size ||
	    count > vdev->bar[bar].size - off)
		return false;
	return (count == 1 || count == 2 || count == 4 || count == 8 || count == MAX_ACCESS) &&
	       IS_ALIGNED(off, count);
}

/*
 * @nr accesses of @len bytes, by way of @data, which is 0. @buf is read from if @write, else
 * written to. Inline, so that the usual access, which is one, has no loop.
 */
static __always_inline ssize_t access_by(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off,
					 unsigned int len, unsigned int nr, void __user *buf,
					 bool write, __le64 *data)
{
	size_t count = nr * len;
	unsigned int i;
	ssize_t ret;

	if (write && copy_from_user(data, buf, count))
		return -EFAULT;

	ret = mdev_pasid_lock_settled(vdev);
	if (ret)
		return ret;
	ret = mdev_pasid_command(vdev) & PCI_COMMAND_MEMORY ? count : -EIO;
	for (i = 0; ret > 0 && i < nr; i++) {
		if (write)
			bar_write(vdev, bar, off + i * len, le64_to_cpu(data[i]), len);
		else
			data[i] = cpu_to_le64(bar_read(vdev, bar, off + i * len, len));
	}
	mutex_unlock(&vdev->lock);

	if (!write && ret > 0 && copy_to_user(buf, data, count))
		return -EFAULT;
	return ret;
}

/* Apart, since many a kernel clears what is on the stack, and so much takes its time */
static noinline ssize_t wide_access(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off,
				    void __user *buf, bool write)
{
	__le64 data[MAX_ACCESS / sizeof(__le64)] = { };

	return access_by(vdev, bar, off, sizeof(*data), ARRAY_SIZE(data), buf, write, data);
}

static ssize_t bar_access(struct mdev_pasid_vdev *vdev, unsigned int bar, u64 off, size_t count,
			  void __user *buf, bool write)
{
	__le64 data = 0;

	if (!is_bar_access(vdev, bar, off, count))
		return -EINVAL;
	if (count == MAX_ACCESS)
		return wide_access(vdev, bar, off, buf, write);
	return access_by(vdev, bar, off, count, 1, buf, write, &data);
}

ssize_t mdev_pasid_read(struct vfio_device *vfio, char __user *buf, size_t count, loff_t *ppos)
{
	unsigned int index = *ppos >> MDEV_PASID_OFFSET_SHIFT;
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	u64 off = *ppos & MDEV_PASID_OFFSET_MASK;
	ssize_t ret;

	if (!count)
		return 0;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		ret = mdev_pasid_config_read(vdev, off, buf, count);
	else if (index == MDEV_PASID_FAULT_REGION_INDEX)
		ret = mdev_pasid_faults_read(vdev, off, buf, count);
	else
		ret = bar_access(vdev, index, off, count, buf, false);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

ssize_t mdev_pasid_write(struct vfio_device *vfio, const char __user *buf, size_t count,
			 loff_t *ppos)
{
	unsigned int index = *ppos >> MDEV_PASID_OFFSET_SHIFT;
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	u64 off = *ppos & MDEV_PASID_OFFSET_MASK;
	ssize_t ret;

	if (!count)
		return 0;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		ret = mdev_pasid_config_write(vdev, off, buf, count);
	else
		ret = bar_access(vdev, index, off, count, (void __user *)buf, true);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

/**
 * mdev_pasid_unmap_portals() - take the portal pages out of all address spaces
 * @vdev: the vdev
 *
 * The next access to one faults and asks the driver's portal() again.
 *
 * Context: with &mdev_pasid_vdev.lock held, as in all callbacks but create and destroy, so
 * that no fault can put a page back before what made it invalid is done.
 */
void mdev_pasid_unmap_portals(struct mdev_pasid_vdev *vdev)
{
	lockdep_assert_held(&vdev->lock);

	/* Of all BARs, whatever the driver says is a portal now */
	unmap_mapping_range(vdev->vfio.inode->i_mapping, 0,
			    MDEV_PASID_OFFSET(MDEV_PASID_NUM_BARS), true);
	trace_mdev_pasid_portal_unmap(vdev);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_unmap_portals, MDEV_PASID);

/*
 * What backs a portal page now. While the vdev is attached, its user decides
 * whether the hardware runs, and hardware that does not run drops what is stored to a
 * portal. So does the sink. A fault would be worse than that: KVM makes it
 * the end of the whole virtual machine.
 */
static unsigned long portal_pfn(struct mdev_pasid_vdev *vdev, unsigned int bar,
				unsigned long page)
{
	phys_addr_t addr = 0;

	if (!vdev->translated || !(mdev_pasid_command(vdev) & PCI_COMMAND_MEMORY) ||
	    !(vdev->bar[bar].portals & BIT(page)))
		return 0;

	if (vdev->dma)
		addr = vdev_ops(vdev)->portal(vdev, bar, page);
	if (addr)
		return PHYS_PFN(addr);

	if (!vdev->sink)
		vdev->sink = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return vdev->sink ? page_to_pfn(vdev->sink) : 0;
}

/*
 * A store that comes while the vdev is moved to another address space. iommufd takes
 * mmap_lock meanwhile, so the fault lets go of it, and is made again afterwards. Who
 * cannot do without it (no store of a CPU, be it a virtual one) is refused. So is the kernel
 * that copies to or from the portal for the user, as it may have a lock that the move needs.
 */
static vm_fault_t portal_wait(struct vm_fault *vmf, struct mdev_pasid_vdev *vdev)
{
	struct file *file = vmf->vma->vm_file;

	/* What faults like a user without being one is copy_to_user() and its kind */
	bool copy = (vmf->flags & FAULT_FLAG_INTERRUPTIBLE) && !(vmf->flags & FAULT_FLAG_USER);

	if (copy || !(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;

	/* Without mmap_lock, only the file keeps the vdev */
	get_file(file);
	release_fault_lock(vmf);
	/* A task that is killed does not come back, whatever the outcome */
	wait_event_killable(vdev->replaced, !READ_ONCE(vdev->replacing));
	fput(file);
	return VM_FAULT_RETRY;
}

static vm_fault_t portal_fault(struct vm_fault *vmf)
{
	struct mdev_pasid_vdev *vdev = vmf->vma->vm_private_data;
	unsigned int bar = vmf->pgoff >> (MDEV_PASID_OFFSET_SHIFT - PAGE_SHIFT);
	unsigned long page = vmf->pgoff & (MDEV_PASID_OFFSET_MASK >> PAGE_SHIFT);
	struct vm_area_struct *vma = vmf->vma;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	unsigned long pfn;
	pgprot_t prot;

	mutex_lock(&vdev->lock);
	if (vdev->replacing) {
		mutex_unlock(&vdev->lock);
		return portal_wait(vmf, vdev);
	}
	pfn = portal_pfn(vdev, bar, page);
	if (pfn) {
		/* The sink is memory, and so is the portal of a device in software */
		if (pfn_valid(pfn)) {
			ret = vmf_insert_mixed(vma, vmf->address, pfn_to_pfn_t(pfn));
		} else {
			prot = pgprot_decrypted(pgprot_noncached(vma->vm_page_prot));
			ret = vmf_insert_pfn_prot(vma, vmf->address, pfn, prot);
		}
		trace_mdev_pasid_portal_map(vdev, bar, page,
					    vdev->sink && pfn == page_to_pfn(vdev->sink));
	}
	mutex_unlock(&vdev->lock);
	return ret;
}

static const struct vm_operations_struct portal_vm_ops = {
	.fault = portal_fault,
};

int mdev_pasid_mmap(struct vfio_device *vfio, struct vm_area_struct *vma)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	unsigned long index = vma->vm_pgoff >> (MDEV_PASID_OFFSET_SHIFT - PAGE_SHIFT);
	unsigned long first = vma->vm_pgoff & (MDEV_PASID_OFFSET_MASK >> PAGE_SHIFT);
	unsigned long pages = vma_pages(vma);
	unsigned long portals;

	if (!(vma->vm_flags & VM_SHARED) || index >= MDEV_PASID_NUM_BARS)
		return -EINVAL;
	if (first >= BITS_PER_LONG || pages > BITS_PER_LONG - first)
		return -EINVAL;
	mutex_lock(&vdev->lock);
	portals = vdev->bar[index].portals;
	mutex_unlock(&vdev->lock);
	if (GENMASK(first + pages - 1, first) & ~portals)
		return -EINVAL;

	vma->vm_private_data = vdev;
	/*
	 * VM_IO: nobody pins a portal. Nor is it VM_PFNMAP, of which VFIO's type1 containers take
	 * the address and keep it for the DMA of other devices, whatever becomes of the portal.
	 */
	vm_flags_set(vma, VM_IO | VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &portal_vm_ops;
	return 0;
}
