//! (a) The floor: what driver and sink make of this machine with nothing between them.

use super::Bench;
use crate::Outcome;
use crate::driver::closed_loop;
use crate::job::{Job, Kind};
use crate::report::Figures;
use crate::sink::Sink;

/// A floor post is so much shorter than a message that it takes more of them to fill the time.
const POSTS_PER_MESSAGE: u64 = 4;
const WARM_UP_POSTS: u64 = 5_000;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    for connections in bench.options.connections.clone() {
        bench.floor(connections).await?;
    }
    Ok(())
}

impl Bench<'_> {
    /// Floor posts per second of this round, measured when first asked for.
    pub async fn floor(&mut self, connections: usize) -> Outcome<f64> {
        if let Some(floor) = self.floors.get(&connections) {
            return Ok(*floor);
        }
        let sink = Sink::start().await?;
        let job = Job::new(sink.peer()?, "/floor", Kind::Floor)?;
        closed_loop(&job, connections, WARM_UP_POSTS).await?;
        let posts = self.options.load * POSTS_PER_MESSAGE;
        let published = closed_loop(&job, connections, posts).await?.all_accepted()?;
        let floor = published.posts_per_s();
        self.floors.insert(connections, floor);
        let figures = Figures::default()
            .with("posts_per_s", floor)
            .with("p50_ms", published.answer.quantile_ms(0.5))
            .with("p99_ms", published.answer.quantile_ms(0.99));
        self.note("floor", connections, figures);
        Ok(floor)
    }
}
