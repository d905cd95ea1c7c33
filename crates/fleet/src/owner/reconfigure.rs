//! Other settings while the fleet runs: what runs as it should is not touched.

use std::sync::Arc;

use tracing::warn;

use crate::lease::{Settled, settle_all};
use crate::model::managed::Tenure;
use crate::orders::Orders;
use crate::owner::Shared;
use crate::state::{Door, Judge, Missing, Wished};

impl Shared {
    /// Takes in other settings. A model whose engine would be started with another command line is loaded anew once its
    /// jobs have ended; a new one of the list is loaded if there is room; one that is listed no more is let go.
    pub(crate) fn reconfigure(self: &Arc<Self>, orders: Orders) {
        let mut judge = self.lock();
        if judge.door != Door::Open {
            return;
        }
        let before = self.orders();
        self.engines.configure(orders.engine.clone());
        self.order(orders);
        self.measure(&mut judge);
        let mut settled = self.enlist(&mut judge, &before);
        for id in judge.members.keys().copied().collect::<Vec<_>>() {
            let Some(member) = judge.members.get(&id) else { continue };
            let (model, wish) = (Arc::clone(&member.model), judge.wish_for(id));
            let plan = self.plan(&judge, &model, wish.as_ref());
            self.reshape(&mut judge, id, plan);
            self.reprofile(&mut judge, id);
        }
        if before.fleet.models != self.orders().fleet.models {
            self.tell_of_tables(&judge);
        }
        if before.catalog != self.orders().catalog {
            judge.look_now();
        }
        let effects = judge.admission.tick(self.moment());
        settled.extend(self.carry_out(&mut judge, effects));
        drop(judge);
        settle_all(settled);
        self.changed();
    }

    /// Brings the members in line with the operator's list.
    fn enlist(self: &Arc<Self>, judge: &mut Judge, before: &Orders) -> Vec<Settled> {
        let orders = self.orders();
        if orders.fleet.autoload == before.fleet.autoload {
            return Vec::new();
        }
        judge.missing.clear();
        let mut listed = Vec::new();
        for name in &orders.fleet.autoload {
            match self.enrol(judge, name, Tenure::Operator, None) {
                Ok(id) => {
                    listed.push(id);
                    if !before.fleet.autoload.contains(name) {
                        self.want(judge, id, Tenure::Operator);
                    }
                }
                Err(reason) => {
                    warn!(reason, "cannot load a model of the autoload list");
                    judge.missing.push(Missing { name: name.clone(), reason });
                }
            }
        }
        let wished = match &judge.wished {
            Wished::Member { id, .. } => Some(*id),
            Wished::Nothing | Wished::Missing { .. } => None,
        };
        let unlisted =
            judge.members.iter().filter(|(id, member)| member.tenure == Tenure::Operator && !listed.contains(id));
        let mut settled = Vec::new();
        for id in unlisted.map(|(id, _)| *id).collect::<Vec<_>>() {
            match judge.members.get_mut(&id) {
                Some(member) if wished == Some(id) => member.tenure = Tenure::Router,
                _ => settled.extend(self.let_go(judge, id, "it is listed no more")),
            }
        }
        settled
    }
}
