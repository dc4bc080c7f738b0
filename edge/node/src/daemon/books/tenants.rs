//! Tenants, as the operator adds and removes them.

use std::collections::btree_map::Entry as Place;

use protocol::api::{TenantList, TenantStatus};
use protocol::{PublicKey, Tenant, TenantRecord};

use super::{Books, Caller, Known, now, scope};
use crate::daemon::refused::Refused;

impl Books {
    /// Tenants with what they use: all for the operator, for a tenant itself.
    pub(in crate::daemon) fn tenants(&self, caller: &Caller) -> Result<TenantList, Refused> {
        let one = scope(caller)?;
        let seen = self.tenants.iter().filter(|(tenant, _)| one.is_none_or(|one| one == *tenant));
        let status = |(tenant, known): (&Tenant, &Known)| TenantStatus {
            tenant: tenant.clone(),
            keys: known.keys.iter().map(PublicKey::id).collect(),
            quota: known.record.quota,
            usage: self.usage(tenant),
        };
        Ok(TenantList { tenants: seen.map(status).collect() })
    }

    /// Adds a tenant, or changes its keys and quota: what runs goes on.
    pub(in crate::daemon) fn put_tenant(&mut self, record: TenantRecord) -> Result<TenantStatus, Refused> {
        let remedy = "give public keys as `spore key new` writes them";
        let keys = record.public_keys().map_err(|error| Refused::new(422, error, remedy))?;
        if record.quota.cpu.weight == 0 {
            return Err(Refused::new(422, "a CPU weight of 0 is none", "give one from 1 to 65535; 256 is usual"));
        }
        self.node.journal_mut().put_tenant(&record)?;
        let tenant = record.tenant.clone();
        let known = Known { record, keys };
        match self.tenants.entry(tenant.clone()) {
            Place::Occupied(mut place) => drop(place.insert(known)),
            Place::Vacant(place) => drop(place.insert(known)),
        }
        // What waited for a quota may start now.
        self.waker.wake();
        self.tenants(&Caller::Tenant(tenant.clone(), protocol::Purpose::Read))?
            .tenants
            .pop()
            .ok_or_else(|| none(&tenant))
    }

    /// Removes a tenant; with `force` also one whose commands have not ended, which are cancelled.
    pub(in crate::daemon) fn remove_tenant(&mut self, tenant: &Tenant, force: bool) -> Result<(), Refused> {
        if !self.tenants.contains_key(tenant) {
            return Err(none(tenant));
        }
        let theirs = self.node.entries().iter().filter(|entry| entry.command.tenant == *tenant);
        let active: Vec<_> = theirs.map(crate::Entry::key).collect();
        if !active.is_empty() && !force {
            let problem = format!("{} commands of tenant \"{tenant}\" have not ended", active.len());
            return Err(Refused::new(409, problem, "stop them, or force it: then they are cancelled"));
        }
        for key in active {
            self.node.cancel(&key, now())?;
        }
        self.node.journal_mut().remove_tenant(tenant)?;
        self.tenants.remove(tenant);
        Ok(())
    }
}

fn none(tenant: &Tenant) -> Refused {
    Refused::new(404, format!("there is no tenant \"{tenant}\""), "see `spore tenant ls`")
}
