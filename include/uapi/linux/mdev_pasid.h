/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a PASID-backed virtual device (vdev) has beyond the VFIO PCI interface of
 * <linux/vfio.h>: its user is told of the DMA that the IOMMU has refused.
 */
#ifndef _UAPI_LINUX_MDEV_PASID_H
#define _UAPI_LINUX_MDEV_PASID_H

#include <linux/types.h>
#include <linux/vfio.h>

/*
 * The fault region is the one whose VFIO_REGION_INFO_CAP_TYPE has this type and
 * subtype. It is read-only and cannot be mapped. It starts with a struct
 * mdev_pasid_fault_header.
 */
#define VFIO_REGION_TYPE_MDEV_PASID		(4)
#define VFIO_REGION_SUBTYPE_MDEV_PASID_FAULTS	(1)

/*
 * The interrupt of the fault region, one eventfd that is signalled after a fault was
 * recorded. Several faults may share one signal. GET_IRQ_INFO tells if it is there.
 */
#define VFIO_MDEV_PASID_FAULT_IRQ_INDEX		VFIO_PCI_NUM_IRQS

/**
 * struct mdev_pasid_fault - a DMA request that was refused
 * @addr: its address; the IOMMU may tell no more than the page
 * @pasid: the PASID that it carried
 * @flags: MDEV_PASID_FAULT_*
 */
struct mdev_pasid_fault {
	__aligned_u64 addr;
	__u32 pasid;
	__u32 flags;
#define MDEV_PASID_FAULT_WRITE	(1 << 0)	/* it was to write; else to read */
};

/**
 * struct mdev_pasid_fault_header - how the fault region begins
 * @offset: of the slots in the region
 * @slot_size: size of a slot, which begins with a struct mdev_pasid_fault
 * @slots: how many there are
 * @reserved: 0
 * @count: faults since the vdev was bound to its iommufd
 *
 * Fault number n, counted from 0, is in slot n % @slots, if it is one of the last
 * @slots. One read() of the whole region is consistent.
 */
struct mdev_pasid_fault_header {
	__u32 offset;
	__u32 slot_size;
	__u32 slots;
	__u32 reserved;
	__aligned_u64 count;
};

#endif /* _UAPI_LINUX_MDEV_PASID_H */
