// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submits copies to a dmaengine channel, depth at a time, and says in the log what a
 * submission takes, from preparing the descriptor until the device has it, in ticks of the TSC,
 * and how long a copy takes: both the least of all. The same module runs on the host and in a guest.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timex.h>

static unsigned int rounds = 64;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "how often");

static unsigned int size = 4096;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "bytes of a copy");

static unsigned int depth = 1;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "copies that are submitted before any is waited for");

static void copied(void *done)
{
	complete(done);
}

/* The copy starts where its source does in a page, as in vdev-bench */
static size_t dst_offset(void)
{
	return PAGE_ALIGN(size);
}

static int submit_once(struct dma_chan *chan, dma_addr_t src, dma_addr_t dst,
		       struct completion *done, cycles_t *ticks)
{
	struct dma_async_tx_descriptor *tx;
	cycles_t start = get_cycles();

	tx = dmaengine_prep_dma_memcpy(chan, dst, src, size, DMA_PREP_INTERRUPT);
	if (!tx)
		return -ENOMEM;
	tx->callback = copied;
	tx->callback_param = done;
	if (dma_submit_error(dmaengine_submit(tx)))
		return -EIO;
	dma_async_issue_pending(chan);
	*ticks = get_cycles() - start;
	return 0;
}

static int submit_all(struct dma_chan *chan, u8 *buf)
{
	struct device *dev = chan->device->dev;
	size_t total = 2 * dst_offset();
	dma_addr_t addr = dma_map_single(dev, buf, total, DMA_BIDIRECTIONAL);
	DECLARE_COMPLETION_ONSTACK(done);
	cycles_t ticks, least = ~0ULL;
	unsigned int round, i, submitted;
	u64 shortest = ~0ULL;
	int ret = 0;

	if (dma_mapping_error(dev, addr))
		return -ENOMEM;
	for (round = 0; !ret && round < rounds; round++) {
		ktime_t start = ktime_get();

		for (submitted = 0; submitted < depth; submitted++) {
			ret = submit_once(chan, addr, addr + dst_offset(), &done, &ticks);
			if (ret)
				break;
			least = min(least, ticks);
		}
		/* Never without an end: the completion is on the stack */
		for (i = 0; i < submitted; i++)
			wait_for_completion(&done);
		shortest = min(shortest, (u64)ktime_to_ns(ktime_sub(ktime_get(), start)));
	}
	dma_unmap_single(dev, addr, total, DMA_BIDIRECTIONAL);
	if (!ret && memcmp(buf, buf + dst_offset(), size))
		ret = -EIO;
	if (!ret)
		pr_info("least=%llu ns=%llu\n", least,
			div_u64(shortest, depth));
	return ret;
}

static int __init submit_bench_init(void)
{
	struct dma_chan *chan;
	dma_cap_mask_t mask;
	int ret = -ENOMEM;
	u8 *buf;

	dma_cap_zero(mask);
	dma_cap_set(DMA_MEMCPY, mask);
	chan = dma_request_chan_by_mask(&mask);
	if (IS_ERR(chan))
		return PTR_ERR(chan);
	buf = kzalloc(2 * dst_offset(), GFP_KERNEL);
	if (buf) {
		memset(buf, 0x5a, size);
		ret = submit_all(chan, buf);
	}
	kfree(buf);
	dma_release_channel(chan);
	return ret;
}
module_init(submit_bench_init);

static void __exit submit_bench_exit(void)
{
}
module_exit(submit_bench_exit);

MODULE_DESCRIPTION("Measure submissions and copies of a dmaengine channel");
MODULE_LICENSE("GPL");
