//! Counting chunks without reading them: what EXPLAIN says of a question before it is asked.

use super::{SliceView, TagWalk};
use crate::{Error, ScanStatistics, TagSelection};
use types::{TagId, TimeRange};

impl SliceView {
    /// Counts the chunks of these tags within `tags` (both ends included), and those that a range of time leaves
    /// out, as a scan would: `statistics` gets them. Reads index blocks and nothing else, until `chunks_max` were
    /// looked at. Whether that was all.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn count_chunks(
        &self,
        selection: &TagSelection,
        tags: (TagId, TagId),
        range: TimeRange,
        text: bool,
        chunks_max: u64,
        statistics: &mut ScanStatistics,
    ) -> Result<bool, Error> {
        let files = &self.files.files;
        let mut walk = TagWalk::new(files, [].into(), selection, tags, range, Some(text), statistics);
        let (mut items, mut looked) = (Vec::new(), 0);
        while walk.next(files, statistics, &mut items)?.is_some() {
            // A listed tag that has no chunk costs a look as well.
            looked += 1;
            if statistics.chunks + looked >= chunks_max {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
