/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a vdev as trace events */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM mdev_pasid

#if !defined(MDEV_PASID_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MDEV_PASID_TRACE_H

#include <linux/mdev_pasid.h>
#include <linux/tracepoint.h>

TRACE_EVENT(mdev_pasid_bind,
	    TP_PROTO(struct mdev_pasid_vdev *vdev, u32 device, int ret),
	    TP_ARGS(vdev, device, ret),
	    TP_STRUCT__entry(__string(vdev, dev_name(vdev->vfio.dev))
			     __string(pf, dev_name(vdev->parent->dev))
			     __field(u32, pasid)
			     __field(u32, device)
			     __field(int, ret)),
	    TP_fast_assign(__assign_str(vdev);
			   __assign_str(pf);
			   __entry->pasid = vdev->pasid;
			   __entry->device = device;
			   __entry->ret = ret;),
	    TP_printk("vdev=%s pasid=%u pf=%s device=%u ret=%d", __get_str(vdev), __entry->pasid,
		      __get_str(pf), __entry->device, __entry->ret));

/* pt: the IOAS or HWPT that the user named; hwpt: the HWPT that is in use */
DECLARE_EVENT_CLASS(mdev_pasid_pt,
		    TP_PROTO(struct mdev_pasid_vdev *vdev, u32 pt, u32 hwpt, int ret),
		    TP_ARGS(vdev, pt, hwpt, ret),
		    TP_STRUCT__entry(__string(vdev, dev_name(vdev->vfio.dev))
				     __field(u32, pasid)
				     __field(u32, pt)
				     __field(u32, hwpt)
				     __field(int, ret)),
		    TP_fast_assign(__assign_str(vdev);
				   __entry->pasid = vdev->pasid;
				   __entry->pt = pt;
				   __entry->hwpt = hwpt;
				   __entry->ret = ret;),
		    TP_printk("vdev=%s pasid=%u pt=%u hwpt=%u ret=%d", __get_str(vdev),
			      __entry->pasid, __entry->pt, __entry->hwpt, __entry->ret));

DEFINE_EVENT(mdev_pasid_pt, mdev_pasid_attach,
	     TP_PROTO(struct mdev_pasid_vdev *vdev, u32 pt, u32 hwpt, int ret),
	     TP_ARGS(vdev, pt, hwpt, ret));

DEFINE_EVENT(mdev_pasid_pt, mdev_pasid_replace,
	     TP_PROTO(struct mdev_pasid_vdev *vdev, u32 pt, u32 hwpt, int ret),
	     TP_ARGS(vdev, pt, hwpt, ret));

DECLARE_EVENT_CLASS(mdev_pasid_vdev,
		    TP_PROTO(struct mdev_pasid_vdev *vdev),
		    TP_ARGS(vdev),
		    TP_STRUCT__entry(__string(vdev, dev_name(vdev->vfio.dev))
				     __field(u32, pasid)),
		    TP_fast_assign(__assign_str(vdev);
				   __entry->pasid = vdev->pasid;),
		    TP_printk("vdev=%s pasid=%u", __get_str(vdev), __entry->pasid));

DEFINE_EVENT(mdev_pasid_vdev, mdev_pasid_detach,
	     TP_PROTO(struct mdev_pasid_vdev *vdev), TP_ARGS(vdev));

DEFINE_EVENT(mdev_pasid_vdev, mdev_pasid_unbind,
	     TP_PROTO(struct mdev_pasid_vdev *vdev), TP_ARGS(vdev));

DEFINE_EVENT(mdev_pasid_vdev, mdev_pasid_reset,
	     TP_PROTO(struct mdev_pasid_vdev *vdev), TP_ARGS(vdev));

/* All portal pages are taken out of all address spaces */
DEFINE_EVENT(mdev_pasid_vdev, mdev_pasid_portal_unmap,
	     TP_PROTO(struct mdev_pasid_vdev *vdev), TP_ARGS(vdev));

TRACE_EVENT(mdev_pasid_portal_map,
	    TP_PROTO(struct mdev_pasid_vdev *vdev, unsigned int bar, unsigned long page, bool sink),
	    TP_ARGS(vdev, bar, page, sink),
	    TP_STRUCT__entry(__string(vdev, dev_name(vdev->vfio.dev))
			     __field(u32, pasid)
			     __field(unsigned int, bar)
			     __field(unsigned long, page)
			     __field(bool, sink)),
	    TP_fast_assign(__assign_str(vdev);
			   __entry->pasid = vdev->pasid;
			   __entry->bar = bar;
			   __entry->page = page;
			   __entry->sink = sink;),
	    TP_printk("vdev=%s pasid=%u bar=%u page=%lu to=%s", __get_str(vdev), __entry->pasid,
		      __entry->bar, __entry->page, __entry->sink ? "sink" : "hardware"));

TRACE_EVENT(mdev_pasid_fault,
	    TP_PROTO(struct mdev_pasid_vdev *vdev, u64 addr, bool write),
	    TP_ARGS(vdev, addr, write),
	    TP_STRUCT__entry(__string(vdev, dev_name(vdev->vfio.dev))
			     __field(u32, pasid)
			     __field(u64, addr)
			     __field(bool, write)),
	    TP_fast_assign(__assign_str(vdev);
			   __entry->pasid = vdev->pasid;
			   __entry->addr = addr;
			   __entry->write = write;),
	    TP_printk("vdev=%s pasid=%u addr=0x%llx access=%s", __get_str(vdev),
		      __entry->pasid, __entry->addr,
		      __entry->write ? "write" : "read"));

#endif /* MDEV_PASID_TRACE_H */

/* Out of a kernel tree, too: the Makefile adds this directory to the search path */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
