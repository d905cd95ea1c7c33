//! Which layers go to which device.

use std::ops::Range;
use std::sync::Arc;

use auxot_catalog::MemoryRequirements;

use super::{Placement, Share, Shown, Split, Usable};

/// Copies of a batch's inputs that devices in a row keep beside their own, so that one works while another waits.
const COPIES: u64 = 3;

/// What a model needs, in a form in which the sum of any run of layers is one subtraction.
#[derive(Debug, Clone)]
pub struct LayerRequirements {
    requirements: Arc<MemoryRequirements>,
    /// Bytes of weights before each layer, the output layer being the last.
    weights: Vec<u64>,
    /// Bytes of cache before each layer.
    cache: Vec<u64>,
}

impl LayerRequirements {
    /// Sums requirements up, once for all plans that are made of them.
    #[must_use]
    pub fn of(requirements: &Arc<MemoryRequirements>) -> Self {
        let (mut weights, mut cache) = (vec![0], vec![0]);
        let (mut weight, mut kept) = (0_u64, 0_u64);
        for layer in &requirements.layers {
            weight = weight.saturating_add(layer.weights);
            kept = kept.saturating_add(layer.cache);
            weights.push(weight);
            cache.push(kept);
        }
        weights.push(weight.saturating_add(requirements.output));
        cache.push(kept);
        Self { requirements: Arc::clone(requirements), weights, cache }
    }

    /// Layers that can be on devices, the output layer among them.
    pub(super) fn layers(&self) -> usize {
        self.requirements.offloadable()
    }

    fn of_layers(&self, range: &Range<usize>) -> (u64, u64) {
        (self.weights[range.end] - self.weights[range.start], self.cache[range.end] - self.cache[range.start])
    }

    /// Everything on one device, but for its driver.
    pub(super) fn on_one_device(&self) -> u64 {
        let (weights, cache) = self.of_layers(&(0..self.layers()));
        self.overhead(true, false).saturating_add(weights).saturating_add(cache)
    }

    /// What a device needs beside layers; the first one has the projector too.
    fn overhead(&self, first: bool, in_a_row: bool) -> u64 {
        let projector = if first { self.requirements.projector } else { 0 };
        let copies = if in_a_row { self.requirements.inputs.saturating_mul(COPIES) } else { 0 };
        self.requirements.compute.saturating_add(projector).saturating_add(copies)
    }

    fn share(&self, device: &Usable<'_>, layers: Range<usize>, overhead: u64) -> Share {
        let (weights, cache) = self.of_layers(&layers);
        let bytes = [weights, cache, overhead, device.driver].into_iter().fold(0, u64::saturating_add);
        let (device, selector) = (device.room.id.to_string(), device.room.selector.clone());
        Share { device, selector, layers, bytes, weights, cache }
    }

    fn placed(&self, shares: Vec<Share>, split: Split, offloaded: usize) -> Placement {
        let (weights, at_work) =
            if offloaded == 0 { (self.requirements.weights, self.requirements.at_work()) } else { (0, 0) };
        let (host, layers) = (self.requirements.on_host(offloaded), self.layers());
        Placement { shares, split, shown: None, host, weights, at_work, offloaded, layers }
    }

    pub(super) fn in_host_memory(&self) -> Placement {
        self.placed(Vec::new(), Split::Host, 0)
    }

    /// The engine decides, on a host where no device is known; counted as host memory.
    pub(super) fn unseen(&self) -> Placement {
        self.placed(Vec::new(), Split::Engine, 0)
    }

    /// The engine decides, where memory cannot be read: nothing is counted, and only the devices that it may use are
    /// set.
    pub fn unmeasured(&self, shown: Option<Vec<Shown>>) -> Placement {
        Placement { shown, host: 0, weights: 0, ..self.unseen() }
    }

    /// Bytes of everything on a device, its driver included.
    pub(super) fn whole_bytes(&self, device: &Usable<'_>) -> u64 {
        self.on_one_device().saturating_add(device.driver)
    }

    pub(super) fn whole(&self, device: &Usable<'_>) -> Placement {
        let share = self.share(device, 0..self.layers(), self.overhead(true, false));
        self.placed(vec![share], Split::Whole, self.layers())
    }

    /// To each device layers in proportion to what is free on it; `None` where one would get no layer.
    pub(super) fn in_proportion(&self, devices: &[Usable<'_>]) -> Option<Placement> {
        let all = self.layers();
        let budgets = self.budgets(devices, true);
        let room: u128 = budgets.iter().map(|budget| u128::from(*budget)).sum();
        let total = u128::from(self.weights[all]) + u128::from(self.cache[all]);
        if room < total || room == 0 {
            return None;
        }
        let mut start = 0;
        let mut before: u128 = 0;
        let mut shares = Vec::with_capacity(devices.len());
        for (at, (device, budget)) in devices.iter().zip(&budgets).enumerate() {
            before += u128::from(*budget);
            let until = total * before / room;
            // A layer goes to the device that has its middle.
            let middle = |layer: usize| {
                let sum = |at: usize| u128::from(self.weights[at]) + u128::from(self.cache[at]);
                u128::midpoint(sum(layer), sum(layer + 1))
            };
            let last = at + 1 == devices.len();
            let end = if last { all } else { (start..all).find(|layer| middle(*layer) > until).unwrap_or(all) };
            if end == start {
                return None;
            }
            shares.push(self.share(device, start..end, self.overhead(at == 0, true)));
            start = end;
        }
        Some(self.placed(shares, Split::Layers, all))
    }

    /// To each device as many of the last `count` layers as fit on it, one device after the other. Devices on which no
    /// layer fits are left out, unless `each` must have one.
    pub(super) fn filled(&self, devices: &[Usable<'_>], count: usize, each: bool) -> Option<Placement> {
        let all = self.layers();
        let mut start = all - count;
        let in_a_row = count == all && devices.len() > 1;
        let mut shares: Vec<Share> = Vec::new();
        for device in devices {
            if start == all {
                break;
            }
            let overhead = self.overhead(shares.is_empty(), in_a_row);
            let budget = device.may.saturating_sub(device.driver).saturating_sub(overhead);
            let fits = |end: usize| {
                let (weights, cache) = self.of_layers(&(start..end));
                weights.saturating_add(cache) <= budget
            };
            // Sums only grow, so the longest run that fits is found by bisection.
            let (mut end, mut too_far) = (start, all + 1);
            while too_far - end > 1 {
                let middle = usize::midpoint(end, too_far);
                if fits(middle) { end = middle } else { too_far = middle }
            }
            if end > start {
                shares.push(self.share(device, start..end, overhead));
                start = end;
            } else if each {
                return None;
            }
        }
        let split = if count == all { Split::Layers } else { Split::Partial };
        (start == all && (!each || shares.len() == devices.len())).then(|| self.placed(shares, split, count))
    }

    /// To each device a part of every layer, in proportion to what is free on it. The first of them has the projector,
    /// so it should have the most room.
    pub(super) fn tensor(&self, devices: &[Usable<'_>]) -> Option<Placement> {
        let all = self.layers();
        let budgets = self.budgets(devices, false);
        let room: u128 = budgets.iter().map(|budget| u128::from(*budget)).sum();
        let (weights, cache) = self.of_layers(&(0..all));
        if room < u128::from(weights) + u128::from(cache) || budgets.contains(&0) {
            return None;
        }
        let part = |bytes: u64, budget: u64| {
            u64::try_from((u128::from(bytes) * u128::from(budget)).div_ceil(room)).unwrap_or(u64::MAX)
        };
        let shares = devices.iter().zip(&budgets).enumerate().map(|(at, (device, budget))| {
            let (weights, cache) = (part(weights, *budget), part(cache, *budget));
            let overhead = self.overhead(at == 0, false).saturating_add(device.driver);
            let bytes = weights.saturating_add(cache).saturating_add(overhead);
            let (device, selector) = (device.room.id.to_string(), device.room.selector.clone());
            Share { device, selector, layers: 0..all, bytes, weights, cache }
        });
        let shares: Vec<Share> = shares.collect();
        // Each part is rounded up, so at the limit the sum can be a byte too large.
        let holds = shares.iter().zip(devices).all(|(share, device)| share.bytes <= device.may);
        holds.then(|| self.placed(shares, Split::Tensor, all))
    }

    /// What is left of each device for layers.
    fn budgets(&self, devices: &[Usable<'_>], in_a_row: bool) -> Vec<u64> {
        let budget = |(at, device): (usize, &Usable<'_>)| {
            device.may.saturating_sub(device.driver).saturating_sub(self.overhead(at == 0, in_a_row))
        };
        devices.iter().enumerate().map(budget).collect()
    }
}
