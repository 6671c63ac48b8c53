// SPDX-License-Identifier: GPL-2.0-only
/*
 * Config space: a table of values and, bit by bit, of what the user can write.
 * Only three things have an effect: Memory Space Enable and Bus Master Enable
 * of the command register, and Initiate Function Level Reset.
 *
 * A vdev looks like a root complex integrated endpoint with these capabilities:
 * PCI Express at 0x40 and MSI-X at 0x80.
 */
#include <linux/pci_regs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>

#include "pasid_private.h"

#define CAP_EXP		0x40
#define CAP_MSIX	0x80

static void config_set16(struct mdev_pasid_vdev *vdev, u16 off, u16 val, u16 wmask)
{
	put_unaligned_le16(val, vdev->config + off);
	put_unaligned_le16(wmask, vdev->config_wmask + off);
}

static void config_set32(struct mdev_pasid_vdev *vdev, u16 off, u32 val, u32 wmask)
{
	put_unaligned_le32(val, vdev->config + off);
	put_unaligned_le32(wmask, vdev->config_wmask + off);
}

int mdev_pasid_config_alloc(struct mdev_pasid_vdev *vdev)
{
	/* Values, write masks, and the values to go back to at a reset */
	vdev->config = kcalloc(3, MDEV_PASID_CONFIG_SIZE, GFP_KERNEL_ACCOUNT);
	if (!vdev->config)
		return -ENOMEM;
	vdev->config_wmask = vdev->config + MDEV_PASID_CONFIG_SIZE;
	vdev->config_reset = vdev->config_wmask + MDEV_PASID_CONFIG_SIZE;
	return 0;
}

void mdev_pasid_config_free(struct mdev_pasid_vdev *vdev)
{
	kfree(vdev->msix);
	kfree(vdev->config);
}

/**
 * mdev_pasid_config_identity() - say what kind of PCI device a vdev is
 * @vdev: the vdev, in create()
 * @vendor: vendor ID
 * @device: device ID
 * @class_rev: class code in bits 31:8, revision ID in bits 7:0
 * @subsys_vendor: subsystem vendor ID
 * @subsys: subsystem ID
 */
void mdev_pasid_config_identity(struct mdev_pasid_vdev *vdev, u16 vendor, u16 device,
				u32 class_rev, u16 subsys_vendor, u16 subsys)
{
	config_set16(vdev, PCI_VENDOR_ID, vendor, 0);
	config_set16(vdev, PCI_DEVICE_ID, device, 0);
	config_set32(vdev, PCI_CLASS_REVISION, class_rev, 0);
	config_set16(vdev, PCI_SUBSYSTEM_VENDOR_ID, subsys_vendor, 0);
	config_set16(vdev, PCI_SUBSYSTEM_ID, subsys, 0);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_config_identity, MDEV_PASID);

/**
 * mdev_pasid_config_msix() - give a vdev MSI-X vectors
 * @vdev: the vdev, in create(), with its BARs set
 * @num_vectors: 1 to MDEV_PASID_MAX_VECTORS
 * @bar: BAR that the table and the pending bits are in
 * @table: offset of the table in it, a multiple of 8
 * @pba: offset of the pending bits in it, a multiple of 8
 *
 * The core handles accesses to both; @read and @write of the driver never see
 * them.
 *
 * Return: 0, -EINVAL for a place that the BAR does not have, -ENOMEM.
 */
int mdev_pasid_config_msix(struct mdev_pasid_vdev *vdev, unsigned int num_vectors,
			   unsigned int bar, u32 table, u32 pba)
{
	u32 table_size = num_vectors * PCI_MSIX_ENTRY_SIZE;
	u32 pba_size = DIV_ROUND_UP(num_vectors, 64) * 8;

	if (!num_vectors || num_vectors > MDEV_PASID_MAX_VECTORS ||
	    bar >= MDEV_PASID_NUM_BARS || !IS_ALIGNED(table | pba, 8) ||
	    (u64)table + table_size > vdev->bar[bar].size ||
	    (u64)pba + pba_size > vdev->bar[bar].size) {
		mdev_pasid_refuse(vdev,
				  "cannot create %s: driver %s has no place for %u MSI-X vectors in BAR %u; mend the driver",
				  dev_name(vdev->vfio.dev), vdev->parent->drv->mdev.driver.name,
				  num_vectors, bar);
		return -EINVAL;
	}

	vdev->msix = kzalloc(table_size, GFP_KERNEL_ACCOUNT);
	if (!vdev->msix)
		return -ENOMEM;
	vdev->num_vectors = num_vectors;
	vdev->msix_bar = bar;
	vdev->msix_table = table;
	vdev->msix_pba = pba;
	return 0;
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_config_msix, MDEV_PASID);

static int config_add_bars(struct mdev_pasid_vdev *vdev)
{
	unsigned int i;

	for (i = 0; i < MDEV_PASID_NUM_BARS; i++) {
		struct mdev_pasid_bar *bar = &vdev->bar[i];
		u16 off = PCI_BASE_ADDRESS_0 + 4 * i;
		u64 wmask = ~(bar->size - 1);
		u32 type = PCI_BASE_ADDRESS_MEM_TYPE_64;

		if (!bar->size)
			continue;
		/* A 64-bit BAR takes the place of the next one, too */
		if (!is_power_of_2(bar->size) || bar->size < PAGE_SIZE ||
		    i + 1 == MDEV_PASID_NUM_BARS || vdev->bar[i + 1].size) {
			mdev_pasid_refuse(vdev,
					  "cannot create %s: driver %s makes BAR %u of %#llx bytes, which is no 64-bit BAR; mend the driver",
					  dev_name(vdev->vfio.dev),
					  vdev->parent->drv->mdev.driver.name, i, bar->size);
			return -EINVAL;
		}
		if (bar->prefetchable)
			type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
		config_set32(vdev, off, type, lower_32_bits(wmask));
		config_set32(vdev, off + 4, 0, upper_32_bits(wmask));
	}
	return 0;
}

static void config_add_exp(struct mdev_pasid_vdev *vdev, u8 next)
{
	vdev->config[CAP_EXP] = PCI_CAP_ID_EXP;
	vdev->config[CAP_EXP + 1] = next;
	config_set16(vdev, CAP_EXP + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_RC_END << 4, 0);
	config_set32(vdev, CAP_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0);
	config_set16(vdev, CAP_EXP + PCI_EXP_DEVCTL, 0,
		     PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
		     PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN);
}

static void config_add_msix(struct mdev_pasid_vdev *vdev)
{
	vdev->config[CAP_MSIX] = PCI_CAP_ID_MSIX;
	config_set16(vdev, CAP_MSIX + PCI_MSIX_FLAGS, vdev->num_vectors - 1,
		     PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	config_set32(vdev, CAP_MSIX + PCI_MSIX_TABLE, vdev->msix_table | vdev->msix_bar, 0);
	config_set32(vdev, CAP_MSIX + PCI_MSIX_PBA, vdev->msix_pba | vdev->msix_bar, 0);
}

/* Adds to the table what follows from what create() has described */
int mdev_pasid_config_finish(struct mdev_pasid_vdev *vdev)
{
	int ret;

	config_set16(vdev, PCI_COMMAND, 0,
		     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
		     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	config_set16(vdev, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	vdev->config_wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	vdev->config_wmask[PCI_INTERRUPT_LINE] = 0xff;
	vdev->config[PCI_CAPABILITY_LIST] = CAP_EXP;

	ret = config_add_bars(vdev);
	if (ret)
		return ret;
	config_add_exp(vdev, vdev->num_vectors ? CAP_MSIX : 0);
	if (vdev->num_vectors)
		config_add_msix(vdev);

	memcpy(vdev->config_reset, vdev->config, MDEV_PASID_CONFIG_SIZE);
	mdev_pasid_config_reset(vdev);
	return 0;
}

void mdev_pasid_config_reset(struct mdev_pasid_vdev *vdev)
{
	unsigned int i;

	memcpy(vdev->config, vdev->config_reset, MDEV_PASID_CONFIG_SIZE);
	for (i = 0; i < vdev->num_vectors; i++) {
		__le32 *entry = vdev->msix + i * PCI_MSIX_ENTRY_SIZE / 4;

		memset(entry, 0, PCI_MSIX_ENTRY_SIZE);
		entry[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] =
			cpu_to_le32(PCI_MSIX_ENTRY_CTRL_MASKBIT);
	}
}

/* In pieces on the stack: a driver reads a few bytes at a time, a VMM all once */
ssize_t mdev_pasid_config_read(struct mdev_pasid_vdev *vdev, u64 off, char __user *buf,
			       size_t count)
{
	size_t done, len;
	u8 data[64];

	if (off >= MDEV_PASID_CONFIG_SIZE || count > MDEV_PASID_CONFIG_SIZE - off)
		return -EINVAL;

	for (done = 0; done < count; done += len) {
		len = min(count - done, sizeof(data));
		mutex_lock(&vdev->lock);
		memcpy(data, vdev->config + off + done, len);
		mutex_unlock(&vdev->lock);
		if (copy_to_user(buf + done, data, len))
			return -EFAULT;
	}
	return count;
}

ssize_t mdev_pasid_config_write(struct mdev_pasid_vdev *vdev, u64 off, const char __user *buf,
				size_t count)
{
	u16 devctl = CAP_EXP + PCI_EXP_DEVCTL;
	bool flr = false;
	size_t i;
	u8 *data;

	if (off >= MDEV_PASID_CONFIG_SIZE || count > MDEV_PASID_CONFIG_SIZE - off)
		return -EINVAL;
	data = memdup_user(buf, count);
	if (IS_ERR(data))
		return PTR_ERR(data);

	mutex_lock(&vdev->lock);
	for (i = 0; i < count; i++) {
		u8 wmask = vdev->config_wmask[off + i];
		u8 *byte = &vdev->config[off + i];

		*byte = (*byte & ~wmask) | (data[i] & wmask);
		/* The bit reads as 0, so it is in no mask */
		if (off + i == devctl + 1)
			flr = data[i] & (PCI_EXP_DEVCTL_BCR_FLR >> 8);
	}

	if (flr)
		mdev_pasid_reset(vdev);
	if (!(mdev_pasid_command(vdev) & PCI_COMMAND_MEMORY))
		mdev_pasid_unmap_portals(vdev);
	mdev_pasid_update_dma(vdev, MDEV_PASID_ABORT);
	mutex_unlock(&vdev->lock);

	kfree(data);
	return count;
}
