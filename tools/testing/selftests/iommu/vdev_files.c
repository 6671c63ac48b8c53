// SPDX-License-Identifier: GPL-2.0-only
/*
 * One vdev, one iommufd: who holds it, and until when. A binding belongs to the open
 * file, not to the process that made it: it goes with the file through dup, fork and
 * sockets, and ends when the last descriptor and the last mapping of it have gone.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/userfaultfd.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 16)

FIXTURE(files) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct last_error last;
};

FIXTURE_SETUP(files)
{
	TEST_POOL(&self->pool, 1);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, OPENED, 0));
	ASSERT_EQ(0, last_error_watch(&self->last, MDEV_DEVICES "/%s/pasid/last_error",
				      self->v.uuid));
}

FIXTURE_TEARDOWN(files)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* Bind, attach and start what test_vdev_up() has opened */
static int start(struct test_vdev *v)
{
	int ret = vdev_bind(v->fd, v->iommufd, &v->devid);

	if (!ret)
		ret = dsa_init(&v->dsa, v->fd);
	if (!ret)
		ret = test_vdev_attach(v, MEM_SIZE);
	return ret ?: dsa_start(&v->dsa);
}

#define HELD "cannot bind: process %d (%s) has bound the vdev to an iommufd; close that file first, wherever it was passed"

/* Refused to another user, who is told that process @pid (@comm) has it? */
#define EXPECT_HELD(pid, comm) do {						\
	int __fd = vdev_open(self->v.uuid), __iommufd = iommufd_open();		\
										\
	ASSERT_LE(0, __fd);							\
	EXPECT_EQ(-EBUSY, vdev_bind(__fd, __iommufd, NULL));			\
	EXPECT_REFUSED(&self->last, HELD, pid, comm);				\
	close(__fd);								\
	close(__iommufd);							\
} while (0)

/* Can another user have it now? */
static int bind_anew(const char *uuid)
{
	int fd = vdev_open(uuid), iommufd = iommufd_open();
	int ret = fd < 0 ? fd : vdev_bind(fd, iommufd, NULL);

	close(fd);
	close(iommufd);
	return ret;
}

static int send_fd(int socket, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int socket)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	int fd;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

static int exit_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

TEST_F(files, dup)
{
	int fd;

	ASSERT_EQ(0, start(&self->v));
	fd = dup(self->v.fd);
	ASSERT_LE(0, fd);
	/* It is the same file: bound, and not to be bound again */
	EXPECT_EQ(-EINVAL, vdev_bind(fd, self->v.iommufd, NULL));
	self->last.was.count++;
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 1));
	close(self->v.fd);
	self->v.fd = fd;
	self->v.dsa.fd = fd;
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 2));
	prctl(PR_SET_NAME, "dup");
	EXPECT_HELD(getpid(), "vdev_files");
	close(fd);
	self->v.fd = -1;
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "closed"));
	EXPECT_EQ(0, bind_anew(self->v.uuid));
}

/* A child that inherits it has it as its parent does, and after its parent. */
TEST_F(files, fork)
{
	int go[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, start(&self->v));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		/* Until the parent has closed its own */
		if (read(go[0], &c, 1))
			_exit(1);
		if (!vdev_state_is(self->v.uuid, "attached"))
			_exit(2);
		if (test_copy(&self->v.dsa, &self->v.mem, 3) != DSA_COMP_SUCCESS)
			_exit(3);
		_exit(0);
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 4));
	close(self->v.fd);
	close(self->v.iommufd);
	self->v.fd = -1;
	self->v.iommufd = -1;
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));
	/* The one that bound it is named, not the one that has it left */
	EXPECT_HELD(getpid(), "vdev_files");
	close(go[1]);
	EXPECT_EQ(0, exit_status(pid));
	EXPECT_TRUE(vdev_state_becomes(self->v.uuid, "closed"));
	EXPECT_EQ(0, bind_anew(self->v.uuid));
}

/* A child binds and passes both files on; the vdev works when the child is gone. */
TEST_F(files, passed_by_socket)
{
	struct test_vdev *v = &self->v;
	int sockets[2];
	uint32_t pt;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	close(v->fd);
	close(v->iommufd);
	v->fd = -1;
	v->iommufd = -1;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = vdev_open(v->uuid), iommufd = iommufd_open();

		prctl(PR_SET_NAME, "sender");
		if (vdev_bind(fd, iommufd, NULL) || send_fd(sockets[1], fd) ||
		    send_fd(sockets[1], iommufd))
			_exit(1);
		_exit(0);
	}
	EXPECT_EQ(0, exit_status(pid));
	/* Nobody has a descriptor, but the files are in the socket */
	EXPECT_TRUE(vdev_state_is(v->uuid, "bound"));
	EXPECT_HELD(pid, "sender");
	v->fd = receive_fd(sockets[0]);
	v->iommufd = receive_fd(sockets[0]);
	ASSERT_LE(0, v->fd);
	ASSERT_LE(0, v->iommufd);

	/* What is mapped is the memory of who maps it */
	ASSERT_EQ(0, dsa_init(&v->dsa, v->fd));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 5));
	pt = v->ioas;
	EXPECT_EQ(0, vdev_attach(v->fd, &pt));
	EXPECT_HELD(pid, "sender");
	close(v->fd);
	v->fd = -1;
	EXPECT_TRUE(vdev_state_is(v->uuid, "closed"));
	EXPECT_EQ(0, bind_anew(v->uuid));
}

/* A file that is in a socket, and that nobody takes out, goes with the socket. */
TEST_F(files, left_in_socket)
{
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	ASSERT_EQ(0, start(&self->v));
	ASSERT_EQ(0, send_fd(sockets[1], self->v.fd));
	close(self->v.fd);
	self->v.fd = -1;
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));
	close(sockets[0]);
	close(sockets[1]);
	EXPECT_TRUE(vdev_state_becomes(self->v.uuid, "closed"));
	EXPECT_EQ(0, bind_anew(self->v.uuid));
}

/* Whoever is killed lets go of it, with DMA under way or not. */
TEST_F(files, killed)
{
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	close(self->v.fd);
	close(self->v.iommufd);
	self->v.iommufd = -1;
	self->v.fd = -1;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct test_vdev v = self->v;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		v.fd = vdev_open(v.uuid);
		v.iommufd = iommufd_open();
		prctl(PR_SET_NAME, "victim");
		if (start(&v) || dsa_map(&v.dsa, PORTAL_LIMITED) || write(ready[1], "", 1) != 1)
			_exit(1);
		while (test_copy(&v.dsa, &v.mem, 6) == DSA_COMP_SUCCESS)
			;
		_exit(2);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_HELD(pid, "victim");
	kill(pid, SIGKILL);
	EXPECT_EQ(-1, exit_status(pid));
	EXPECT_TRUE(vdev_state_becomes(self->v.uuid, "closed"));
	EXPECT_EQ(0, bind_anew(self->v.uuid));
}

/* --- closed while an ioctl of the iommufd is under way ---------------------- */

/* An ioctl whose arguments and results are in a page of its own */
struct call {
	int fd;
	unsigned long request;
	void *page;
	size_t size;
	int result;
};

/* The kernel can read that page, but write to it only when it is let to. */
FIXTURE(held) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct call call;
	int uffd;
};

FIXTURE_VARIANT(held) {
	unsigned long request;
};

FIXTURE_VARIANT_ADD(held, hw_info) { IOMMU_GET_HW_INFO };
FIXTURE_VARIANT_ADD(held, hwpt_alloc) { IOMMU_HWPT_ALLOC };

FIXTURE_SETUP(held)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };

	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	TEST_REQUIRE(self->uffd >= 0, "no userfaultfd here, or not for this user");
	self->call.size = sysconf(_SC_PAGESIZE);
	self->call.page = mmap(NULL, self->call.size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->call.page);
	reg.range.start = (uintptr_t)self->call.page;
	reg.range.len = self->call.size;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));

	TEST_POOL(&self->pool, 1);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, BOUND, 0));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	self->call.fd = self->v.iommufd;
	self->call.request = variant->request;
}

FIXTURE_TEARDOWN(held)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
	munmap(self->call.page, self->call.size);
	close(self->uffd);
}

static int set_writable(int uffd, const struct call *call, bool writable)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)call->page, call->size },
		.mode = writable ? 0 : UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static void *make_call(void *data)
{
	struct call *call = data;

	call->result = ioctl(call->fd, call->request, call->page) ? -errno : 0;
	return NULL;
}

/*
 * The end of a binding does not depend on when the results of an ioctl are taken, and the
 * ID is that of no device then.
 */
TEST_F(held, unbind_under_ioctl)
{
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = self->v.devid };
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.dev_id = self->v.devid,
		.pt_id = self->v.ioas,
	};
	struct pollfd event = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg msg;
	pthread_t thread;

	if (variant->request == IOMMU_GET_HW_INFO)
		memcpy(self->call.page, &info, sizeof(info));
	else
		memcpy(self->call.page, &alloc, sizeof(alloc));
	ASSERT_EQ(0, set_writable(self->uffd, &self->call, false));
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	EXPECT_EQ(1, poll(&event, 1, 30000));
	EXPECT_EQ(sizeof(msg), read(self->uffd, &msg, sizeof(msg)));
	EXPECT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);

	/* An iommufd that cannot let go of the device does so with the last file */
	close(self->v.fd);
	self->v.fd = -1;
	EXPECT_EQ(-1, ioctl(self->v.iommufd, IOMMU_GET_HW_INFO, &info));
	EXPECT_EQ(ENOENT, errno);

	EXPECT_EQ(0, set_writable(self->uffd, &self->call, true));
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, self->call.result);
	EXPECT_EQ(0, bind_anew(self->v.uuid));
}

/* --- device file, iommufd and mapping, closed in every order ---------------- */

FIXTURE(order) {
	struct dsa_pool pool;
	struct test_vdev v;
};

/* D: the device file, I: the iommufd, M: the mapping of the portal */
FIXTURE_VARIANT(order) {
	const char *close;
};

FIXTURE_VARIANT_ADD(order, device_iommufd_mapping) { "DIM" };
FIXTURE_VARIANT_ADD(order, device_mapping_iommufd) { "DMI" };
FIXTURE_VARIANT_ADD(order, iommufd_device_mapping) { "IDM" };
FIXTURE_VARIANT_ADD(order, iommufd_mapping_device) { "IMD" };
FIXTURE_VARIANT_ADD(order, mapping_device_iommufd) { "MDI" };
FIXTURE_VARIANT_ADD(order, mapping_iommufd_device) { "MID" };

FIXTURE_SETUP(order)
{
	TEST_POOL(&self->pool, 1);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&self->v.dsa, PORTAL_LIMITED));
}

FIXTURE_TEARDOWN(order)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/*
 * The iommufd lives on for the vdev that is bound to it, and the device file for the
 * mapping. What is left works: with the mapping alone the vdev still takes
 * descriptors and does its DMA.
 */
TEST_F(order, close)
{
	struct test_vdev *v = &self->v;
	const char *c;

	for (c = variant->close; *c; c++) {
		switch (*c) {
		case 'D':
			close(v->fd);
			v->fd = -1;
			break;
		case 'I':
			close(v->iommufd);
			v->iommufd = -1;
			break;
		case 'M':
			dsa_unmap(&v->dsa);
			v->dsa.portal = NULL;
			break;
		}
		if (v->fd < 0 && !v->dsa.portal) {
			EXPECT_TRUE(vdev_state_is(v->uuid, "closed"));
			EXPECT_EQ(0, bind_anew(v->uuid));
			continue;
		}
		EXPECT_TRUE(vdev_state_is(v->uuid, "attached")) {
			TH_LOG("after %c of %s", *c, variant->close);
		}
		EXPECT_EQ(-EBUSY, bind_anew(v->uuid));
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, *c));
	}
	EXPECT_TRUE(vdev_state_is(v->uuid, "closed"));
}

TEST_HARNESS_MAIN
