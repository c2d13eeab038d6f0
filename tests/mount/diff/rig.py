# SPDX-License-Identifier: MIT
"""Two equal images, mounted side by side, for mount_diff.

A Rig makes the image of a profile once, and for every run two copies of it,
mounts them, and undoes everything when the run is over, however it ends: it
lives in a mount namespace of its own, and its loop devices free themselves
with their mounts.
"""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# name -> (size, mke2fs's options)
PROFILES = {
    "ext4-4k": ("512M", ["-t", "ext4", "-b", "4096"]),
    "ext4-1k": ("256M", ["-t", "ext4", "-b", "1024"]),
    "ext3": ("512M", ["-t", "ext3", "-b", "4096", "-I", "256"]),
    "ext2": ("256M", ["-t", "ext2", "-b", "1024", "-I", "256"]),
    "inode-128": ("256M", ["-t", "ext4", "-b", "4096", "-I", "128"]),
    # What distributions and the years have turned on and off.
    "newest": ("256M", ["-t", "ext4", "-b", "2048", "-I", "512", "-O",
                        "orphan_file,metadata_csum_seed,sparse_super2"]),
    "oldest": ("256M", ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,"
                        "^64bit,uninit_bg,^flex_bg,^extent"]),
    "no-journal": ("256M", ["-t", "ext4", "-b", "4096", "-O",
                            "^has_journal,^metadata_csum"]),
    "no-index": ("256M", ["-t", "ext4", "-b", "4096", "-O", "^dir_index"]),
    # Inodes run out by themselves, blocks when the program wants it.
    "full": ("96M", ["-t", "ext4", "-b", "4096", "-N", "144", "-m", "0",
                     "-J", "size=4"]),
}
KIND = {"ext2": "ext2", "ext3": "ext3"}

SEED = "6a1f0d5c-93b2-4e77-8c40-1d2e3f405162"

# Equal attribute blocks are not shared; what waits for its place in a file
# without extents is found (differences.c).
AS_WE_DO = {"oldest": "no_mbcache,nodelalloc"}
AS_WE_DO_ELSE = "no_mbcache"

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18


def own_namespace():
    """From here on mounts are this process's and its children's alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(
            b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        raise OSError(ctypes.get_errno(), "a mount namespace of its own")


def quiet(*command, check=True):
    """Run it; what it said, if it failed."""
    p = subprocess.run(command, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", check=False)
    if check and p.returncode:
        sys.exit(f"# {' '.join(map(str, command))}: status {p.returncode}\n"
                 f"{p.stdout}")
    return p


def fsck(image):
    """What e2fsck -fn has to say; empty if the image is clean."""
    p = quiet("e2fsck", "-fn", image, check=False)
    return "" if p.returncode == 0 else p.stdout


class Rig:
    """@second: what is mounted beside the kernel's: "ours", "kernel",
    either with ":OPTIONS"."""

    def __init__(self, uext4, profile, second="ours"):
        self.uext4, self.profile, self.second = uext4, profile, second
        where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="uext4-diff.",
                                                 dir=where))
        self.images = [self.dir / "a.img", self.dir / "b.img"]
        self.mounts = [self.dir / "a", self.dir / "b"]
        self.mounted = [None, None]
        for m in self.mounts:
            m.mkdir()
        self.template = self.dir / "template.img"
        try:
            self.make_template(*PROFILES[profile])
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def make_template(self, size, options):
        quiet("truncate", "-s", size, self.template)
        # Where names lie in a directory depends on the seed of their hash.
        quiet("mke2fs", "-qF", "-U", SEED, "-E", "lazy_itable_init=0,"
              f"lazy_journal_init=0,hash_seed={SEED}", *options,
              self.template)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for n in (1, 0):
            self.umount(n, check=False)
        for m in self.mounts:
            quiet("umount", "-l", m, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def fresh(self):
        for image in self.images:
            quiet("cp", "--sparse=always", self.template, image)

    def mount_kernel(self, n, at=None, options=""):
        kind = KIND.get(self.profile, "ext4")
        quiet("mount", "-t", kind, "-o", "loop" + (options and "," + options),
              self.images[n], at or self.mounts[n])
        self.mounted[n] = "kernel"

    def mount(self):
        as_we_do = AS_WE_DO.get(self.profile, AS_WE_DO_ELSE)
        self.mount_kernel(0, options=as_we_do)
        how, _, options = self.second.partition(":")
        if how == "ours":
            quiet(self.uext4, "mount", "-o",
                  ",".join(["kernel", options]).rstrip(","), self.images[1],
                  self.mounts[1])
            self.mounted[1] = "ours"
        else:
            self.mount_kernel(1, options=",".join(
                [as_we_do, options]).rstrip(","))

    def umount(self, n, check=True):
        how, self.mounted[n] = self.mounted[n], None
        if how == "ours":
            return quiet(self.uext4, "umount", self.mounts[n], check=check)
        if how == "kernel":
            return quiet("umount", self.mounts[n], check=check)
        return None
