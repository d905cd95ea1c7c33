//! The rules about local clients.

use std::collections::HashSet;

use super::RuleChecker;

impl RuleChecker<'_> {
    /// The rules about local clients.
    pub(super) fn gateway(&mut self) {
        let gateway = &self.loaded.value.gateway;
        let mut seen = HashSet::new();
        for address in &gateway.addr {
            if !address.is_local() && gateway.keys_file.is_none() {
                let text = format!(
                    "cannot listen on {address} without keys: other hosts can reach it; make a key with \
                     `auxot-worker keys create`, and name its file in gateway.keys_file"
                );
                self.fault("gateway.addr", text);
            }
            if !seen.insert(address.to_string()) {
                self.fault("gateway.addr", format!("`{address}` is in the list twice"));
            }
        }
        self.named_once("gateway.allowed_hosts", &gateway.allowed_hosts);
        self.named_once("gateway.allowed_origins", &gateway.allowed_origins);
        if gateway.tls_certificate.is_some() != gateway.tls_key.is_some() {
            self.fault("gateway.tls_certificate", "needs gateway.tls_key beside it, and the other way round");
        }
        if gateway.max_body.as_u64() == 0 {
            self.fault("gateway.max_body", "must be more than 0");
        }
        if gateway.max_body_memory < gateway.max_body {
            let text = format!("must be at least `gateway.max_body`, which is {}", gateway.max_body);
            self.fault("gateway.max_body_memory", text);
        }
        if gateway.max_connections == 0 {
            self.fault("gateway.max_connections", "must be at least 1");
        }
        self.positive("gateway.header_timeout", gateway.header_timeout);
        self.positive("gateway.body_timeout", gateway.body_timeout);
        self.positive("gateway.write_timeout", gateway.write_timeout);
    }
}
