//! The most text that one slot of a loaded or unloaded model can hold.

use crate::job_task::JobTask;
use crate::model::plan::Plan;
use crate::owner::Shared;
use crate::text_limit::TextLimit;

/// Engines round a context up, by less than this for each slot.
const ROUNDED: u32 = 256;

impl Shared {
    /// The most text that a slot of the named model, or else the primary one, can hold; `None` where that is unknown.
    pub(crate) fn text_limit(&self, name: Option<&str>) -> Option<TextLimit> {
        let (state, requested) = self.lock_for(name);
        match state.find(&requested, JobTask::Chat) {
            Ok(id) => {
                let managed = state.models.get(&id)?;
                let ready = managed.ready().map(|ready| ready.props.n_ctx);
                TextLimit::of(&managed.model, self.longest(&managed.plan, ready)?)
            }
            Err(_) => {
                let model = state.scan.model(requested.file()?)?;
                TextLimit::of(model, self.longest(&self.plan(&state, model, None), None)?)
            }
        }
    }

    /// The longest context of a slot: that of the running engine, or of the wanted size, whichever is longer.
    fn longest(&self, plan: &Plan, ready: Option<u32>) -> Option<u32> {
        let may_differ = !self.settings().engine.extra_args.is_empty() || plan.has_extra_args();
        // Extra arguments may set another context, which only the engine knows.
        let planned = (!may_differ).then(|| plan.sizes.wanted().ctx).filter(|ctx| *ctx > 0);
        let planned = planned.map(|ctx| ctx.saturating_add(ROUNDED));
        ready.max(planned)
    }
}
