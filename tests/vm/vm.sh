#!/bin/bash
# tests/vm/vm.sh KERNEL COMMAND: run a shell command as root in a throw-away guest with another kernel and pure cgroup v2.
#
# KERNEL is 6.1 (Debian 12's) or 6.12 (its backport). The guest sees the whole file system of the host, read-only with a
# throw-away layer above it, so it finds this tree and everything installed where they lie. By KVM where that works, else
# emulated, 10 to 100 times slower; UDS_VM_ACCEL=kvm|tcg decides otherwise. Output of the command on standard output, its exit
# status is ours; 77 where it cannot run.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=${here%/tests/vm}
cache=${UDS_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libuds-vm}
timeout=${UDS_VM_TIMEOUT:-600}

skip() {
    echo "skipped: $*" >&2
    exit 77
}

[ $# -eq 2 ] || { echo "usage: tests/vm/vm.sh 6.1|6.12 COMMAND" >&2; exit 2; }
# Emulated, 6.12 has its time by instructions (2 ns each), and only idle as it is outside: so a busy host makes the guest slow
# and not late, and what is measured there stays true. 6.1 hangs with that as it starts its second CPU. All CPUs are one
# thread: with more, qemu before 8.1 may go on in code that another CPU has changed, and the kernel, which patches itself as
# cgroups get and lose their limits, panics at an int3 that is no longer there (seen with 7.2).
case $1 in
6.1) meta=linux-image-amd64 emulate=(-accel "tcg,thread=single" -cpu max) ;;
6.12) meta=linux-image-6.12-amd64 emulate=(-accel tcg -icount shift=1 -cpu max) ;;
*) echo "vm.sh: $1: 6.1 or 6.12" >&2; exit 2 ;;
esac
[ "$(uname -m)" = x86_64 ] || skip "guests are for x86_64"
for tool in qemu-system-x86_64 busybox cpio xz lz4 zstd gcc python3; do
    command -v $tool >/dev/null || skip "$tool is missing: tests/setup.sh --long installs it"
done

# The newest kernel package that the meta package or, where the archive has none, a name of its version stands for.
kernel_package() {
    apt-cache depends --important "$meta" 2>/dev/null | tail -n +2 | grep -oE 'linux-image-[0-9][^ ]*-amd64' | head -n 1 |
        grep . || apt-cache search --names-only "^linux-image-${1//./\\.}\..*-amd64\$" |
        grep -oE '^linux-image-[^ ]+' | grep -vE 'rt-amd64|cloud|unsigned|dbg' | sort -V | tail -n 1
}

# add_module NAME: those it needs first, then itself; built-in ones have no line.
add_module() {
    local line dependency file
    line=$(grep -E "(^|/)$1\.ko(\.xz)?:" "$modules/modules.dep" | head -n 1)
    [ -n "$line" ] || return 0
    for dependency in ${line#*:}; do
        dependency=${dependency##*/}
        add_module "${dependency%%.ko*}"
    done
    file=$modules/${line%%:*}
    local name=${file##*/}
    name=${name%.xz}
    grep -qx "$name" "$root/modules/list" && return 0
    case $file in
    *.xz) xz -dc "$file" >"$root/modules/$name" ;;
    *) cp "$file" "$root/modules/$name" ;;
    esac
    echo "$name" >>"$root/modules/list"
}

# The kernel and its initramfs, made once per package and whenever these scripts change.
prepare() {
    local package=$1 dir=$2 version
    mkdir -p "$dir" || return 1
    if [ ! -d "$dir/deb/boot" ]; then
        (cd "$dir" && apt-get download "$package" >/dev/null 2>&1 && dpkg -x ./"$package"_*.deb deb.part && mv deb.part deb && rm -f ./*.deb) ||
            { echo "vm.sh: $package: cannot be downloaded" >&2; return 1; }
    fi
    version=$(basename "$dir"/deb/lib/modules/*)
    [ -s "$dir/vmlinux" ] || python3 "$here/unpack-kernel.py" "$dir/deb/boot/vmlinuz-$version" "$dir/vmlinux" || return 1
    modules=$dir/deb/lib/modules/$version root=$dir/root
    [ -s "$modules/modules.dep" ] || busybox depmod -b "$dir/deb" "$version"
    rm -rf "$root" && mkdir -p "$root"/{bin,modules,proc,sys,dev}
    cp "$(command -v busybox)" "$root/bin/busybox"
    gcc -Os -static -D_GNU_SOURCE -o "$root/bin/vmexit" "$here/vmexit.c" || return 1
    cp "$here/init.sh" "$root/init" && chmod +x "$root/init"
    : >"$root/modules/list"
    for module in virtio_pci virtio_blk overlay 9p 9pnet_virtio crc32c_generic ext4 bfq veth tun sch_tbf; do
        add_module $module
    done
    (cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$dir/initrd.part" && mv "$dir/initrd.part" "$dir/initrd"
}

package=$(kernel_package "$1")
[ -n "$package" ] || skip "no kernel $1 in the package lists: apt-get update?"
dir=$cache/$package
exec 8>"$(mkdir -p "$cache" && echo "$cache/lock")"
flock 8
stamp=$(cat "$here"/init.sh "$here"/vmexit.c "$here"/vm.sh | sha256sum)
if [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ]; then
    prepare "$package" "$dir" || exit 1
    echo "$stamp" >"$dir/stamp"
fi
flock -u 8

# start DIR TIMEOUT ACCELERATOR: DIR/command in the guest; DIR/status is there afterwards if it came to its end.
start() {
    local machine=(-accel kvm -cpu host)
    [ "$3" = kvm ] || machine=("${emulate[@]}")
    truncate -s 512M "$1/disk" # for tests to do with as they like
    truncate -s 2G "$1/scratch" # /var/tmp
    timeout --foreground -k 5 "$2" qemu-system-x86_64 "${machine[@]}" -M q35 -smp 2 -m "${UDS_VM_MEMORY:-1536}" \
        -nodefaults -no-user-config -display none -no-reboot -nic none -kernel "$dir/vmlinux" -initrd "$dir/initrd" \
        -append "console=ttyS0 quiet panic=-1 tsc=unstable mitigations=off nokaslr random.trust_cpu=1 no_timer_check psi=1 rcupdate.rcu_expedited=1 vm.run=$1 vm.tree=$tree" \
        -serial "file:$1/console" -chardev stdio,id=out,signal=off -serial chardev:out \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
        -fsdev local,id=run,path="$1",security_model=none -device virtio-9p-pci,fsdev=run,mount_tag=run \
        -drive if=none,id=disk,format=raw,file="$1/disk",cache=unsafe -device virtio-blk-pci,drive=disk \
        -drive if=none,id=scratch,format=raw,file="$1/scratch",cache=unsafe -device virtio-blk-pci,drive=scratch \
        -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
        -device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null 2>"$1/qemu"
}

# That /dev/kvm is there and opens proves nothing where we are a guest ourselves (qemu aborts, or the guest never starts): so a
# guest is started once in a boot of this machine, for nothing else.
kvm_works() {
    local boot
    boot=$(cat /proc/sys/kernel/random/boot_id)
    [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
    if ! grep -q "^$boot" "$cache/kvm" 2>/dev/null; then
        mkdir "$run/probe" && echo true >"$run/probe/command"
        (start "$run/probe" 20 kvm) >/dev/null 2>&1 # in a shell of its own: it is that shell which tells of an abort
        [ -s "$run/probe/status" ] && echo "$boot works" >"$cache/kvm" || echo "$boot fails" >"$cache/kvm"
    fi
    grep -q "^$boot works" "$cache/kvm"
}

run=$(mktemp -d "${TMPDIR:-/var/tmp}/uds-vm.XXXXXX") || exit 1
trap 'rm -rf "$run"' EXIT
printf '%s\n' "$2" >"$run/command"
accel=${UDS_VM_ACCEL:-$(kvm_works && echo kvm || echo tcg)}
echo "vm.sh: $package by $accel" >&2
start "$run" "$timeout" "$accel"
status=$?
if [ -s "$run/status" ]; then
    exit "$(cat "$run/status")"
fi
[ $status = 124 ] && echo "vm.sh: the guest did not end within $timeout s" >&2 || echo "vm.sh: the guest died (qemu: $status)" >&2
grep -m 1 -A 5 -E 'BUG:|Oops|\[#1\]' "$run/console" >&2
tail -n 20 "$run/qemu" "$run/console" >&2
exit 1
