//! Whether a disk has room.

use std::path::Path;

use bytesize::ByteSize;

use crate::error::HubError;

/// Fails where a folder's disk does not have so many bytes and those that stay free. Blocks.
pub(crate) fn need_space(folder: &Path, need: u64, keep_free: ByteSize) -> Result<(), HubError> {
    let space = rustix::fs::statvfs(folder).map_err(|error| HubError::disk("look at", folder)(error.into()))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if need == 0 || need.saturating_add(keep_free.as_u64()) <= free {
        return Ok(());
    }
    Err(HubError::NoSpace { folder: folder.to_path_buf(), need: ByteSize(need), free: ByteSize(free), keep_free })
}
