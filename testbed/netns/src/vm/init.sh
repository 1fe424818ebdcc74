#!/bin/busybox sh
# The first program of the machine: a line comes in from the second serial port, what it prints
# goes out there.
export PATH=/sbin:/bin LD_LIBRARY_PATH=/lib
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /run /tmp
for module in /modules/*.ko; do
    insmod "$module" || echo "cannot load $module"
done

# This shell runs busybox's own before it looks at the PATH, and busybox's `ip` knows no gretap.
ip() { /sbin/ip "$@"; }
tc() { /sbin/tc "$@"; }

exec < /dev/ttyS1 > /dev/ttyS1 2>&1
stty raw -echo
printf '\n::done 0\n'
while IFS= read -r line; do
    (eval "$line") < /dev/null
    printf '\n::done %s\n' $?
done
poweroff -f
