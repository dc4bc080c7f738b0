//! The facts of Xen's interface that are the same on every CPU, and the way to ask a C compiler for its view of any.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::process::Command;

use xen_sys::io::{console, netif, ring, xenbus::XenbusState, xs_wire};
use xen_sys::shared_info::VcpuTimeInfo;
use xen_sys::types::{Domid, GrantRef, Port};
use xen_sys::{domctl, elf_note, event_channel, grant_table, hvm, memory, number, sched, sysctl, vcpu};

#[path = "../c/mod.rs"]
mod c;

/// What is compared: an expression in C, and its value here.
pub struct Facts(Vec<(String, i64)>);

impl Facts {
    /// Those that are the same on every CPU.
    pub fn common() -> Self {
        let mut facts = Self(Vec::new());
        xen_facts(&mut facts);
        event_and_grant_facts(&mut facts);
        translated_guest_facts(&mut facts);
        toolstack_facts(&mut facts);
        ring_and_console_facts(&mut facts);
        netif_facts(&mut facts);
        xenstore_facts(&mut facts);
        facts
    }

    /// Adds one.
    pub fn add(&mut self, c: impl Into<String>, value: impl TryInto<i64>) {
        let c = c.into();
        let value = value.try_into().unwrap_or_else(|_| panic!("the value of {c} does not fit"));
        self.0.push((c, value));
    }
}

/// Adds the size of a type and the offsets and sizes of its fields, each named in C and here.
#[macro_export]
macro_rules! layout {
    ($facts:expr, $c:literal => $rust:ty { $($c_field:literal => $field:ident),* $(,)? }) => {
        $facts.add(concat!("sizeof(", $c, ")"), std::mem::size_of::<$rust>());
        $(
            $facts.add(concat!("offsetof(", $c, ", ", $c_field, ")"), std::mem::offset_of!($rust, $field));
            $facts.add(
                concat!("sizeof(((", $c, " *)0)->", $c_field, ")"),
                $crate::common::field_size(|value: &$rust| &value.$field),
            );
        )*
    };
}

/// Adds the layout of the shared info page, as the types of one CPU describe it.
#[macro_export]
macro_rules! shared_info_facts {
    ($facts:expr, $shared_info:ty, $vcpu_info:ty) => {
        layout!($facts, "vcpu_info_t" => $vcpu_info {
            "evtchn_upcall_pending" => evtchn_upcall_pending, "evtchn_pending_sel" => evtchn_pending_sel,
            "arch" => arch, "time" => time,
        });
        layout!($facts, "shared_info_t" => $shared_info {
            "vcpu_info" => vcpu_info, "evtchn_pending" => evtchn_pending, "evtchn_mask" => evtchn_mask,
            "wc_version" => wc_version, "wc_sec" => wc_sec, "wc_nsec" => wc_nsec, "wc_sec_hi" => wc_sec_hi,
            "arch" => arch,
        });
    };
}

/// Adds constants, each named in C and here.
#[macro_export]
macro_rules! constants {
    ($facts:expr, $($c:literal => $rust:expr),* $(,)?) => {
        $( $facts.add($c, $rust); )*
    };
}

/// Size of a field.
pub fn field_size<T, F>(_field: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

fn xen_facts(facts: &mut Facts) {
    layout!(facts, "vcpu_time_info_t" => VcpuTimeInfo {
        "version" => version, "tsc_timestamp" => tsc_timestamp, "system_time" => system_time_ns,
        "tsc_to_system_mul" => tsc_to_system_mul, "tsc_shift" => tsc_shift, "flags" => flags,
    });
    layout!(facts, "domid_t" => Domid {});
    layout!(facts, "grant_ref_t" => GrantRef {});
    layout!(facts, "evtchn_port_t" => Port {});
    constants!(facts,
        "DOMID_SELF" => Domid::SELF.0,
        "DOMID_FIRST_RESERVED" => Domid::FIRST_RESERVED.0,
        "XEN_ELFNOTE_GUEST_OS" => elf_note::GUEST_OS,
        "XEN_ELFNOTE_XEN_VERSION" => elf_note::XEN_VERSION,
        "XEN_ELFNOTE_LOADER" => elf_note::LOADER,
        "__HYPERVISOR_memory_op" => number::MEMORY_OP,
        "__HYPERVISOR_xen_version" => number::XEN_VERSION,
        "__HYPERVISOR_grant_table_op" => number::GRANT_TABLE_OP,
        "__HYPERVISOR_sched_op" => number::SCHED_OP,
        "__HYPERVISOR_event_channel_op" => number::EVENT_CHANNEL_OP,
        "__HYPERVISOR_set_trap_table" => number::SET_TRAP_TABLE,
        "__HYPERVISOR_mmu_update" => number::MMU_UPDATE,
        "__HYPERVISOR_update_va_mapping" => number::UPDATE_VA_MAPPING,
        "__HYPERVISOR_vcpu_op" => number::VCPU_OP,
        "__HYPERVISOR_hvm_op" => number::HVM_OP,
        "__HYPERVISOR_mmuext_op" => number::MMUEXT_OP,
        "__HYPERVISOR_sysctl" => number::SYSCTL,
        "__HYPERVISOR_domctl" => number::DOMCTL,
    );
    layout!(facts, "sched_poll_t" => sched::Poll { "ports" => ports, "nr_ports" => nr_ports, "timeout" => timeout_ns });
    layout!(facts, "sched_shutdown_t" => sched::Shutdown { "reason" => reason });
    constants!(facts,
        "SCHEDOP_yield" => sched::SCHEDOP_YIELD,
        "SCHEDOP_shutdown" => sched::SCHEDOP_SHUTDOWN,
        "SCHEDOP_poll" => sched::SCHEDOP_POLL,
        "SHUTDOWN_poweroff" => sched::ShutdownReason::PowerOff as u32,
        "SHUTDOWN_reboot" => sched::ShutdownReason::Reboot as u32,
        "SHUTDOWN_suspend" => sched::ShutdownReason::Suspend as u32,
        "SHUTDOWN_crash" => sched::ShutdownReason::Crash as u32,
    );
}

fn event_and_grant_facts(facts: &mut Facts) {
    layout!(facts, "evtchn_alloc_unbound_t" => event_channel::AllocUnbound {
        "dom" => dom, "remote_dom" => remote_dom, "port" => port,
    });
    layout!(facts, "evtchn_bind_interdomain_t" => event_channel::BindInterdomain {
        "remote_dom" => remote_dom, "remote_port" => remote_port, "local_port" => local_port,
    });
    layout!(facts, "evtchn_status_t" => event_channel::Status {
        "dom" => dom, "port" => port, "status" => status, "vcpu" => vcpu, "u.interdomain.dom" => remote_dom,
        "u.interdomain.port" => remote_port,
    });
    layout!(facts, "gnttab_map_grant_ref_t" => grant_table::MapGrantRef {
        "host_addr" => host_addr, "flags" => flags, "ref" => reference, "dom" => dom, "status" => status,
        "handle" => handle, "dev_bus_addr" => dev_bus_addr,
    });
    layout!(facts, "gnttab_unmap_grant_ref_t" => grant_table::UnmapGrantRef {
        "host_addr" => host_addr, "dev_bus_addr" => dev_bus_addr, "handle" => handle, "status" => status,
    });
    layout!(facts, "evtchn_close_t" => event_channel::Close { "port" => port });
    layout!(facts, "evtchn_send_t" => event_channel::Send { "port" => port });
    layout!(facts, "grant_entry_v1_t" => grant_table::EntryV1 {
        "flags" => flags, "domid" => domid, "frame" => frame,
    });
    layout!(facts, "gnttab_setup_table_t" => grant_table::SetupTable {
        "dom" => dom, "nr_frames" => nr_frames, "status" => status, "frame_list" => frame_list,
    });
    layout!(facts, "gnttab_query_size_t" => grant_table::QuerySize {
        "dom" => dom, "nr_frames" => nr_frames, "max_nr_frames" => max_nr_frames, "status" => status,
    });
    constants!(facts,
        "EVTCHNOP_bind_interdomain" => event_channel::EVTCHNOP_BIND_INTERDOMAIN,
        "EVTCHNOP_status" => event_channel::EVTCHNOP_STATUS,
        "EVTCHNSTAT_interdomain" => event_channel::EVTCHNSTAT_INTERDOMAIN,
        "GNTTABOP_map_grant_ref" => grant_table::GNTTABOP_MAP_GRANT_REF,
        "GNTTABOP_unmap_grant_ref" => grant_table::GNTTABOP_UNMAP_GRANT_REF,
        "GNTMAP_host_map" => grant_table::GNTMAP_HOST_MAP,
        "GNTMAP_readonly" => grant_table::GNTMAP_READONLY,
        "EVTCHNOP_close" => event_channel::EVTCHNOP_CLOSE,
        "EVTCHNOP_send" => event_channel::EVTCHNOP_SEND,
        "EVTCHNOP_alloc_unbound" => event_channel::EVTCHNOP_ALLOC_UNBOUND,
        "GNTTABOP_setup_table" => grant_table::GNTTABOP_SETUP_TABLE,
        "GNTTABOP_query_size" => grant_table::GNTTABOP_QUERY_SIZE,
        "GNTST_okay" => grant_table::GNTST_OKAY,
        "GNTST_general_error" => grant_table::GNTST_GENERAL_ERROR,
        "GNTST_no_device_space" => grant_table::GNTST_NO_DEVICE_SPACE,
        "GNTTAB_NR_RESERVED_ENTRIES" => grant_table::RESERVED_ENTRIES,
        "4096 / sizeof(grant_entry_v1_t)" => grant_table::ENTRIES_PER_FRAME,
        "GNTTAB_RESERVED_CONSOLE" => grant_table::RESERVED_CONSOLE,
        "GNTTAB_RESERVED_XENSTORE" => grant_table::RESERVED_XENSTORE,
        "GTF_invalid" => grant_table::GTF_INVALID,
        "GTF_permit_access" => grant_table::GTF_PERMIT_ACCESS,
        "GTF_readonly" => grant_table::GTF_READONLY,
        "GTF_reading" => grant_table::GTF_READING,
        "GTF_writing" => grant_table::GTF_WRITING,
    );
}

fn translated_guest_facts(facts: &mut Facts) {
    layout!(facts, "xen_hvm_param_t" => hvm::Param { "domid" => domid, "index" => index, "value" => value });
    layout!(facts, "xen_add_to_physmap_t" => memory::AddToPhysmap {
        "domid" => domid, "size" => size, "space" => space, "idx" => idx, "gpfn" => gpfn,
    });
    layout!(facts, "vcpu_runstate_info_t" => vcpu::RunstateInfo {
        "state" => state, "state_entry_time" => state_entry_time_ns, "time" => time_ns,
    });
    layout!(facts, "vcpu_register_runstate_memory_area_t" => vcpu::RegisterRunstateMemoryArea { "addr.p" => address });
    constants!(facts,
        "HVMOP_set_param" => hvm::HVMOP_SET_PARAM,
        "HVMOP_get_param" => hvm::HVMOP_GET_PARAM,
        "HVM_PARAM_STORE_PFN" => hvm::PARAM_STORE_PFN,
        "HVM_PARAM_STORE_EVTCHN" => hvm::PARAM_STORE_EVTCHN,
        "HVM_PARAM_CONSOLE_PFN" => hvm::PARAM_CONSOLE_PFN,
        "HVM_PARAM_CONSOLE_EVTCHN" => hvm::PARAM_CONSOLE_EVTCHN,
        "XENMEM_add_to_physmap" => memory::XENMEM_ADD_TO_PHYSMAP,
        "XENMAPSPACE_shared_info" => memory::XENMAPSPACE_SHARED_INFO,
        "XENMAPSPACE_grant_table" => memory::XENMAPSPACE_GRANT_TABLE,
        "VCPUOP_register_runstate_memory_area" => vcpu::VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA,
    );
}

fn toolstack_facts(facts: &mut Facts) {
    layout!(facts, "struct xen_memory_reservation" => memory::Reservation {
        "extent_start" => extent_start, "nr_extents" => nr_extents, "extent_order" => extent_order,
        "mem_flags" => mem_flags, "domid" => domid,
    });
    domctl_facts(facts);
    layout!(facts, "struct xen_sysctl_physinfo" => sysctl::PhysInfo {
        "total_pages" => total_pages, "free_pages" => free_pages, "scrub_pages" => scrub_pages,
        "outstanding_pages" => outstanding_pages, "max_mfn" => max_mfn, "hw_cap" => hw_cap,
    });
    layout!(facts, "struct xen_sysctl_sched_id" => sysctl::SchedId { "sched_id" => sched_id });
    layout!(facts, "struct xen_sysctl_getdomaininfolist" => sysctl::DomainInfoList {
        "first_domain" => first_domain, "max_domains" => max_domains, "buffer" => buffer,
        "num_domains" => num_domains,
    });
    facts.add("offsetof(struct xen_sysctl, u)", size_of::<sysctl::Header>());
    constants!(facts,
        "sizeof(struct xen_sysctl)" => sysctl::SYSCTL_BYTES,
        "XEN_SYSCTL_INTERFACE_VERSION" => sysctl::INTERFACE_VERSION,
        "XEN_SYSCTL_physinfo" => sysctl::PHYSINFO,
        "XEN_SYSCTL_sched_id" => sysctl::SCHED_ID,
        "XEN_SYSCTL_getdomaininfolist" => sysctl::GETDOMAININFOLIST,
        "XENMEM_populate_physmap" => memory::XENMEM_POPULATE_PHYSMAP,
        "XENMEM_resource_grant_table" => memory::RESOURCE_GRANT_TABLE,
        "XENMEM_resource_grant_table_id_shared" => memory::RESOURCE_GRANT_TABLE_SHARED,
    );
}

fn domctl_facts(facts: &mut Facts) {
    facts.add("offsetof(struct xen_domctl, u)", size_of::<domctl::Header>());
    facts.add("offsetof(struct xen_domctl, domain)", offset_of!(domctl::Header, domain));
    facts.add("offsetof(struct xen_domctl_createdomain, arch)", size_of::<domctl::Create>());
    for (field, offset) in [
        ("handle", offset_of!(domctl::Create, handle)),
        ("flags", offset_of!(domctl::Create, flags)),
        ("max_vcpus", offset_of!(domctl::Create, max_vcpus)),
        ("max_evtchn_port", offset_of!(domctl::Create, max_evtchn_port)),
        ("max_grant_frames", offset_of!(domctl::Create, max_grant_frames)),
        ("max_maptrack_frames", offset_of!(domctl::Create, max_maptrack_frames)),
        ("grant_opts", offset_of!(domctl::Create, grant_opts)),
        ("cpupool_id", offset_of!(domctl::Create, cpupool_id)),
    ] {
        facts.add(format!("offsetof(struct xen_domctl_createdomain, {field})"), offset);
    }
    for (field, offset) in [
        ("flags", offset_of!(domctl::DomainInfo, flags)),
        ("tot_pages", offset_of!(domctl::DomainInfo, tot_pages)),
        ("shared_info_frame", offset_of!(domctl::DomainInfo, shared_info_frame)),
        ("cpu_time", offset_of!(domctl::DomainInfo, cpu_time_ns)),
        ("handle", offset_of!(domctl::DomainInfo, handle)),
        ("arch_config", size_of::<domctl::DomainInfo>()),
    ] {
        facts.add(format!("offsetof(struct xen_domctl_getdomaininfo, {field})"), offset);
    }
    layout!(facts, "struct xen_domctl_max_mem" => domctl::MaxMem { "max_memkb" => max_memkb });
    layout!(facts, "struct xen_domctl_max_vcpus" => domctl::MaxVcpus { "max" => max });
    layout!(facts, "struct xen_domctl_vcpucontext" => domctl::VcpuContext { "vcpu" => vcpu, "ctxt" => ctxt });
    layout!(facts, "struct xen_domctl_scheduler_op" => domctl::SchedulerOp {
        "sched_id" => sched_id, "cmd" => cmd, "u.credit2.weight" => weight, "u.credit2.cap" => cap,
        "u.credit.weight" => weight, "u.credit.cap" => cap,
    });
    layout!(facts, "struct xen_domctl_address_size" => domctl::AddressSize { "size" => size });
    layout!(facts, "struct xen_domctl_cacheflush" => domctl::CacheFlush {
        "start_pfn" => start_pfn, "nr_pfns" => nr_pfns,
    });
    layout!(facts, "struct xen_domctl_paging_mempool" => domctl::PagingMempool { "size" => size });
    constants!(facts,
        "sizeof(struct xen_domctl)" => domctl::DOMCTL_BYTES,
        "XEN_DOMCTL_INTERFACE_VERSION" => domctl::INTERFACE_VERSION,
        "XEN_DOMCTL_createdomain" => domctl::CREATEDOMAIN,
        "XEN_DOMCTL_destroydomain" => domctl::DESTROYDOMAIN,
        "XEN_DOMCTL_unpausedomain" => domctl::UNPAUSEDOMAIN,
        "XEN_DOMCTL_getdomaininfo" => domctl::GETDOMAININFO,
        "XEN_DOMCTL_max_mem" => domctl::MAX_MEM,
        "XEN_DOMCTL_setvcpucontext" => domctl::SETVCPUCONTEXT,
        "XEN_DOMCTL_max_vcpus" => domctl::MAX_VCPUS,
        "XEN_DOMCTL_scheduler_op" => domctl::SCHEDULER_OP,
        "XEN_DOMCTL_set_address_size" => domctl::SET_ADDRESS_SIZE,
        "XEN_DOMCTL_cacheflush" => domctl::CACHEFLUSH,
        "XEN_DOMCTL_set_paging_mempool_size" => domctl::SET_PAGING_MEMPOOL_SIZE,
        "XEN_DOMCTL_CDF_hvm" => domctl::CDF_HVM,
        "XEN_DOMCTL_CDF_hap" => domctl::CDF_HAP,
        "XEN_DOMCTL_GRANT_version(1)" => domctl::GRANT_VERSION_1,
        "XEN_DOMINF_dying" => domctl::DOMINF_DYING,
        "XEN_DOMINF_shutdown" => domctl::DOMINF_SHUTDOWN,
        "XEN_DOMINF_paused" => domctl::DOMINF_PAUSED,
        "XEN_DOMINF_shutdownshift" => domctl::DOMINF_SHUTDOWN_SHIFT,
        "XEN_SCHEDULER_CREDIT" => domctl::SCHEDULER_CREDIT,
        "XEN_SCHEDULER_CREDIT2" => domctl::SCHEDULER_CREDIT2,
        "XEN_DOMCTL_SCHEDOP_putinfo" => domctl::SCHEDOP_PUTINFO,
    );
}

fn ring_and_console_facts(facts: &mut Facts) {
    for name in ["netif_tx", "netif_rx"] {
        let sring = format!("struct {name}_sring");
        for (field, offset) in [
            ("req_prod", offset_of!(ring::RingHeader, req_prod)),
            ("req_event", offset_of!(ring::RingHeader, req_event)),
            ("rsp_prod", offset_of!(ring::RingHeader, rsp_prod)),
            ("rsp_event", offset_of!(ring::RingHeader, rsp_event)),
            ("ring", size_of::<ring::RingHeader>()),
        ] {
            facts.add(format!("offsetof({sring}, {field})"), offset);
        }
    }
    facts.add("__CONST_RING_SIZE(netif_tx, 4096)", ring::slots(4096, size_of::<netif::TxRequest>()));
    facts.add("__CONST_RING_SIZE(netif_rx, 4096)", ring::slots(4096, size_of::<netif::RxRequest>()));
    layout!(facts, "struct xencons_interface" => console::ConsoleInterface {
        "in" => input, "out" => output, "in_cons" => in_cons, "in_prod" => in_prod, "out_cons" => out_cons,
        "out_prod" => out_prod,
    });
    let names = [
        "Unknown",
        "Initialising",
        "InitWait",
        "Initialised",
        "Connected",
        "Closing",
        "Closed",
        "Reconfiguring",
        "Reconfigured",
    ];
    for (name, state) in names.into_iter().zip(XenbusState::ALL) {
        assert_eq!(format!("{state:?}"), name);
        facts.add(format!("XenbusState{name}"), state as u8);
    }
}

fn netif_facts(facts: &mut Facts) {
    layout!(facts, "netif_tx_request_t" => netif::TxRequest {
        "gref" => gref, "offset" => offset, "flags" => flags, "id" => id, "size" => size,
    });
    layout!(facts, "netif_tx_response_t" => netif::TxResponse { "id" => id, "status" => status });
    layout!(facts, "netif_rx_request_t" => netif::RxRequest { "id" => id, "pad" => pad, "gref" => gref });
    layout!(facts, "netif_rx_response_t" => netif::RxResponse {
        "id" => id, "offset" => offset, "flags" => flags, "status" => status,
    });
    layout!(facts, "netif_extra_info_t" => netif::ExtraInfo {
        "type" => kind, "flags" => flags, "u.gso.size" => gso_size, "u.gso.type" => gso_kind, "u.gso.pad" => gso_pad,
        "u.gso.features" => gso_features,
    });
    constants!(facts,
        "XEN_NETIF_NR_SLOTS_MIN" => netif::NR_SLOTS_MIN,
        "XEN_NETIF_MAX_TX_SIZE" => netif::MAX_TX_SIZE,
        "NETTXF_csum_blank" => netif::TXF_CSUM_BLANK,
        "NETTXF_data_validated" => netif::TXF_DATA_VALIDATED,
        "NETTXF_more_data" => netif::TXF_MORE_DATA,
        "NETTXF_extra_info" => netif::TXF_EXTRA_INFO,
        "NETRXF_data_validated" => netif::RXF_DATA_VALIDATED,
        "NETRXF_csum_blank" => netif::RXF_CSUM_BLANK,
        "NETRXF_more_data" => netif::RXF_MORE_DATA,
        "NETRXF_extra_info" => netif::RXF_EXTRA_INFO,
        "NETRXF_gso_prefix" => netif::RXF_GSO_PREFIX,
        "XEN_NETIF_EXTRA_TYPE_NONE" => netif::EXTRA_TYPE_NONE,
        "XEN_NETIF_EXTRA_TYPE_GSO" => netif::EXTRA_TYPE_GSO,
        "XEN_NETIF_EXTRA_TYPE_MAX" => netif::EXTRA_TYPE_MAX,
        "XEN_NETIF_EXTRA_FLAG_MORE" => netif::EXTRA_FLAG_MORE,
        "XEN_NETIF_GSO_TYPE_TCPV4" => netif::GSO_TYPE_TCPV4,
        "NETIF_RSP_DROPPED" => netif::RSP_DROPPED,
        "NETIF_RSP_ERROR" => netif::RSP_ERROR,
        "NETIF_RSP_OKAY" => netif::RSP_OKAY,
        "NETIF_RSP_NULL" => netif::RSP_NULL,
    );
}

fn xenstore_facts(facts: &mut Facts) {
    use xs_wire::MessageType;
    layout!(facts, "struct xsd_sockmsg" => xs_wire::MessageHeader {
        "type" => kind, "req_id" => req_id, "tx_id" => tx_id, "len" => len,
    });
    layout!(facts, "struct xenstore_domain_interface" => xs_wire::DomainInterface {
        "req" => req, "rsp" => rsp, "req_cons" => req_cons, "req_prod" => req_prod, "rsp_cons" => rsp_cons,
        "rsp_prod" => rsp_prod, "server_features" => server_features, "connection" => connection, "error" => error,
    });
    constants!(facts,
        "XS_DIRECTORY" => MessageType::Directory as u32,
        "XS_READ" => MessageType::Read as u32,
        "XS_GET_PERMS" => MessageType::GetPermissions as u32,
        "XS_WATCH" => MessageType::Watch as u32,
        "XS_UNWATCH" => MessageType::Unwatch as u32,
        "XS_TRANSACTION_START" => MessageType::TransactionStart as u32,
        "XS_TRANSACTION_END" => MessageType::TransactionEnd as u32,
        "XS_WRITE" => MessageType::Write as u32,
        "XS_MKDIR" => MessageType::MakeDirectory as u32,
        "XS_RM" => MessageType::Remove as u32,
        "XS_SET_PERMS" => MessageType::SetPermissions as u32,
        "XS_WATCH_EVENT" => MessageType::WatchEvent as u32,
        "XS_ERROR" => MessageType::Error as u32,
        "XS_RESET_WATCHES" => MessageType::ResetWatches as u32,
        "XENSTORE_RING_SIZE" => xs_wire::RING_SIZE,
        "XENSTORE_PAYLOAD_MAX" => xs_wire::PAYLOAD_MAX,
        "XENSTORE_ABS_PATH_MAX" => xs_wire::ABSOLUTE_PATH_MAX,
        "XENSTORE_REL_PATH_MAX" => xs_wire::RELATIVE_PATH_MAX,
        "XENSTORE_SERVER_FEATURE_RECONNECTION" => xs_wire::SERVER_FEATURE_RECONNECTION,
        "XENSTORE_SERVER_FEATURE_ERROR" => xs_wire::SERVER_FEATURE_ERROR,
        "XENSTORE_CONNECTED" => xs_wire::CONNECTED,
        "XENSTORE_RECONNECT" => xs_wire::RECONNECT,
    );
}

/// Compiles and runs the program and returns what it prints, a number a line.
fn run_c(name: &str, program: &str) -> Vec<i64> {
    let binary = c::compile(name, program, &[]);
    let output = Command::new(&binary).output().expect("the program that was just compiled runs");
    let text = String::from_utf8(output.stdout).expect("it prints numbers");
    text.lines().map(|line| line.parse().expect("it prints numbers")).collect()
}

/// Compares the facts with the view of a C program which includes Xen's headers after the lines of `prologue`.
pub fn compare(name: &str, facts: &Facts, prologue: &str) {
    let mut program =
        String::from("#include <errno.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n");
    program.push_str(prologue);
    // Uncovers what is for the toolstack.
    program.push_str("#define __XEN_TOOLS__ 1\n");
    for header in [
        "xen",
        "domctl",
        "sysctl",
        "elfnote",
        "event_channel",
        "grant_table",
        "hvm/hvm_op",
        "hvm/params",
        "memory",
        "sched",
        "vcpu",
        "io/console",
        "io/netif",
        "io/ring",
        "io/xenbus",
        "io/xs_wire",
    ] {
        writeln!(program, "#include <xen/{header}.h>").expect("a string");
    }
    program.push_str("int main(void) {\n");
    for (expression, _) in &facts.0 {
        writeln!(program, "    printf(\"%lld\\n\", (long long)({expression}));").expect("a string");
    }
    program.push_str("    return 0;\n}\n");

    let theirs = run_c(name, &program);
    assert_eq!(theirs.len(), facts.0.len());
    let different: BTreeMap<_, _> = facts
        .0
        .iter()
        .zip(theirs)
        .filter(|((_, ours), theirs)| ours != theirs)
        .map(|((expression, ours), theirs)| (expression, format!("C says {theirs}, Rust {ours}")))
        .collect();
    assert!(different.is_empty(), "{different:#?}");
    assert!(facts.0.len() > 200, "only {} facts were compared", facts.0.len());
}
