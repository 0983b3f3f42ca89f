# SPDX-License-Identifier: Apache-2.0
# What a hostile script might try. It is root in its VM and says how far it got.
echo "kernel: $(uname -r), user: $(id -un)"

echo hacked >/etc/passwd && echo owned >/etc/owned && echo "files: /etc/passwd overwritten, as far as I can see"

(exec 3<>/dev/tcp/1.1.1.1/53) 2>/dev/null || python3 -c 'import socket; socket.create_connection(("1.1.1.1", 53), 3)' 2>/dev/null &&
	echo "network: I am out" || echo "network: nobody to talk to; interfaces: $(ls /sys/class/net | tr '\n' ' ')"

echo "processes: $(ls /proc | grep -c '^[0-9]') of them, the first is $(cat /proc/1/comm)"

mount -t devtmpfs none /mnt 2>/dev/null && ls /mnt | grep -qE '^(sd|vd|nvme)' &&
	echo "disks: $(ls /mnt)" || echo "disks: none"

dd if=/dev/zero of=/dev/null bs=2G count=1 2>/dev/null || echo "memory: 2 GB were refused"

echo "time: I will never stop"
while :; do :; done
