#!/bin/sh
# The script of the image that vrrp-init replaces, as published: what a comparison runs as "theirs".
echo """\
vrrp_script chk_${SERVICE} {
    script \"/bin/busybox killall -0 ${SERVICE}\"
    interval ${CHECK_INTERVAL}
    weight ${CHECK_WEIGHT}
}
vrrp_instance VI_1 {
    interface ${INTERFACE}
    state ${STATE}
    virtual_router_id ${VIRTUAL_ROUTER}
    priority ${PRIORITY}
    virtual_ipaddress {
        ${VIP}
    }
    track_script {
        chk_${SERVICE}
    }
}""" > /etc/keepalived/keepalived.conf
exec /usr/sbin/keepalived -l -n
