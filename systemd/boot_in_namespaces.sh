#!/bin/bash
# Starts systemd over this machine's files in namespaces of its own; prove_units.py calls it through
# unshare. What systemd and its services write goes to DISK; /proc/sys and /sys are read only.
#   boot_in_namespaces.sh DISK SOURCE CODE: DISK a tmpfs or another file system than /, SOURCE the
#   release to install from at the first boot, CODE a program to install as fluocount
set -eu
disk=$1 source=$2 code=$3
root=$disk/root
mkdir -p "$disk/upper" "$disk/work" "$root"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
echo proof >"$root/etc/hostname"
: >"$root/etc/machine-id"
if [ ! -e "$root/opt/fluocount/venv/bin/fluocount" ]; then
    mkdir -p "$root/etc/systemd/system"
    ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    install -D -m 755 "$code" "$root/opt/fluocount/venv/bin/fluocount"
    "$source/systemd/install.sh" --root "$root"
    install -m 644 "$disk/fluocount.toml" "$root/etc/fluocount/fluocount.toml"
    cp -r "$disk/camera" "$root/var/lib/fluocount/camera"
    chroot "$root" chown -R fluocount:fluocount /var/lib/fluocount/camera
fi
ip link set lo up
cd "$root"
mkdir -p old
pivot_root . old
umount -l old
exec env -i container=proof PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=console --show-status=no
