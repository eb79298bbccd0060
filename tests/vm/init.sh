#!/bin/busybox sh
# PID 1 of the guest. Kernel command line: vm.run=DIR, a directory of the host that holds the command and gets its exit status;
# vm.tree=DIR, a directory that is seen even if it lies under /tmp, which is the guest's own.
#
# / becomes the host's root, read-only, under a throw-away overlay; cgroup v2 alone lies at /sys/fs/cgroup. The root is
# moved (MS_MOVE) rather than entered by a plain chroot, in which unshare(CLONE_NEWUSER) is refused; and the first
# root, an initramfs, refuses pivot_root.
bb=/bin/busybox

die() {
    $bb echo "vm: $*"
    /bin/vmexit 99
    $bb poweroff -f
}

if [ "$1" != second ]; then
    $bb mkdir -p /proc /sys /dev /host /top /new
    $bb mount -t proc proc /proc && $bb mount -t sysfs sys /sys && $bb mount -t devtmpfs dev /dev || die "mounts"
    for word in $($bb cat /proc/cmdline); do
        case $word in
        vm.run=*) run=${word#*=} ;;
        vm.tree=*) tree=${word#*=} ;;
        esac
    done
    while read -r module; do
        $bb insmod "/modules/$module" || $bb echo "vm: insmod $module failed"
    done </modules/list
    $bb mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /host || die "the host's root"
    $bb mount -t tmpfs -o size=75% top /top && $bb mkdir /top/upper /top/work && $bb chmod 755 /top/upper
    $bb mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work over /new || die "overlay"
    $bb mount -t tmpfs -o mode=755 run /new/run && $bb mkdir -p /new/run/vm
    $bb cp /bin/busybox /bin/vmexit /init /new/run/vm/
    for dir in proc sys dev; do $bb mount -o move /$dir /new/$dir; done
    $bb mkdir -p /new/dev/pts /new/dev/shm "/new$run"
    $bb mount -t devpts -o ptmxmode=666,mode=620 pts /new/dev/pts
    $bb mount -t tmpfs -o mode=1777 shm /new/dev/shm
    $bb ln -s /proc/self/fd /new/dev/fd # devtmpfs has none of what udev makes, and bash wants it for <(…)
    for n in 0:stdin 1:stdout 2:stderr; do $bb ln -s /proc/self/fd/${n%:*} /new/dev/${n#*:}; done
    # An overlay's upper directory must not lie on an overlay: tests that make some want a tmpfs.
    $bb mkdir /tree && $bb mount -o bind "/new$tree" /tree || die "the tree"
    $bb mount -t tmpfs -o mode=1777 tmp /new/tmp
    $bb mkdir -p "/new$tree" && $bb mount -o move /tree "/new$tree" || die "the tree"
    # A disk as users have one: an overlay may have its upper directory there, and mounts of it their own ids, before 6.3 too.
    $bb chroot /new /sbin/mkfs.ext4 -q /dev/vdb && $bb mount -t ext4 /new/dev/vdb /new/var/tmp && $bb chmod 1777 /new/var/tmp ||
        die "/var/tmp"
    $bb mkdir -p "/new$run"
    $bb mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none run "/new$run" || die "the run directory"
    $bb mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /new/sys/fs/cgroup || die "cgroup v2"
    $bb ip link set lo up
    cd /new && $bb mount -o move . / || die "moving the root"
    VM_RUN=$run exec $bb chroot . /run/vm/busybox sh /run/vm/init second
fi

bb=/run/vm/busybox
tiocsti=/proc/sys/dev/tty/legacy_tiocsti # off, nobody could tell what refuses it: we or the kernel
[ ! -e $tiocsti ] || $bb echo 1 >$tiocsti
out=/dev/ttyS1 # the kernel's console is another one
$bb stty raw -echo <$out
cd /
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root UDS_VM=1 \
    $bb setsid /bin/bash "$VM_RUN/command" >$out 2>&1 </dev/null
status=$?
$bb echo $status >"$VM_RUN/status"
/run/vm/vmexit $status $out
$bb sync
$bb echo o >/proc/sysrq-trigger
$bb sleep 5
