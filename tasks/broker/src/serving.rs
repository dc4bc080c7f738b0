//! The tasks that are fed, each at its own pace: who does not take what it is given waits for itself alone.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::pending;
use core::pin::pin;

use embassy_futures::select::{Either, Either4, select, select4};
use embassy_futures::yield_now;
use embassy_time::{Duration, Timer};
use embedded_io_async::{Read, Write};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kernel::{Feeding, Networked, println};
use store::{Contract, Delivery, Progress};

use crate::hub::{Hub, now_ns};
use crate::past::Desk;
use crate::tasks::{LET_GO, Task};

/// What a task answers is not looked at yet, but for its end.
const ANSWER_BYTES: usize = 64;

/// Feeds all tasks, while they come and go.
pub(crate) async fn run(hub: &Hub, system: &(impl Feeding + Networked)) -> Infallible {
    let mut feeds: FuturesUnordered<_> = hub.tasks().into_iter().map(|task| serve(task, hub, system)).collect();
    let mut listed = BTreeMap::new();
    loop {
        let fed = async {
            while let Some(()) = feeds.next().await {}
            pending::<Infallible>().await
        };
        match select(system.tasks(&listed), fed).await {
            Either::First(now) => listed = now,
            Either::Second(never) => match never {},
        }
        feeds.extend(hub.list(&listed).into_iter().map(|task| serve(task, hub, system)));
    }
}

/// Feeds a task until its feed or the task ends, or it is to be fed no more, and notes which.
async fn serve(task: Rc<Task>, hub: &Hub, system: &(impl Feeding + Networked)) {
    let ended = match &task.contract {
        // In this order, so that it gets no more once it is let go of.
        Ok(contract) => match select(task.let_go.wait(), attend(&task, contract, hub, system)).await {
            Either::First(()) => LET_GO.to_string(),
            Either::Second(ended) => ended,
        },
        Err(what) => alloc::format!("its contract: {what}"),
    };
    println!("broker: task {}: {ended}", task.number);
    task.end(&ended);
}

/// Waits for a task and feeds it; how that has ended.
async fn attend(task: &Task, contract: &Contract, hub: &Hub, system: &(impl Feeding + Networked)) -> String {
    println!("broker: serving task {}", task.number);
    match system.serve(task.number).await {
        Ok(mut channel) => {
            println!("broker: task {} is there", task.number);
            feed(task, contract, hub, system, &mut channel).await.unwrap_or_else(|gone| gone)
        }
        Err(error) => error.to_string(),
    }
}

/// How a feed has ended; an error is the task's end before that.
async fn feed(
    task: &Task,
    contract: &Contract,
    hub: &Hub,
    system: &(impl Feeding + Networked),
    channel: &mut (impl Read + Write),
) -> Result<String, String> {
    let gone = |why: &dyn core::fmt::Debug| alloc::format!("the task is gone: {why:?}");
    let desk = Desk::new(Delivery::new(contract.clone()), hub.archive());
    // What was before what the store holds comes as the task takes it; nothing else waits for it.
    let mut past = pin!(desk.fetch(system.network(), hub, task));
    let (mut bytes, mut answer) = (Vec::new(), [0; ANSWER_BYTES]);
    loop {
        bytes.clear();
        // What comes while the rest is written is news for the next time.
        task.news.reset();
        let progress = hub.fill(&mut desk.delivery.borrow_mut(), now_ns(system), &mut bytes);
        channel.write_all(&bytes).await.map_err(|error| gone(&error))?;
        desk.given.signal(());
        task.given.set(desk.delivery.borrow().given());
        let until_ns = match progress {
            Progress::More => {
                // Others have their turn.
                yield_now().await;
                continue;
            }
            Progress::Ended => break,
            Progress::Wait(until_ns) => until_ns,
        };
        let time = async {
            let Some(until_ns) = until_ns else { return pending().await };
            let rest_ns = until_ns.saturating_sub(now_ns(system)).max(0) as u64;
            Timer::after(Duration::from_millis(rest_ns / 1_000_000 + 1)).await;
        };
        match select4(past.as_mut(), task.news.wait(), time, channel.read(&mut answer)).await {
            Either4::First(never) => match never {},
            Either4::Fourth(Ok(0) | Err(_)) => return Err(gone(&"it has closed its end")),
            // A task that talks without end takes no more than its turn.
            Either4::Fourth(Ok(_)) => yield_now().await,
            Either4::Second(()) | Either4::Third(()) => {}
        }
    }
    // The channel stays until the task has what is in it.
    while let Ok(1..) = channel.read(&mut answer).await {
        yield_now().await;
    }
    Ok("complete".to_string())
}

#[cfg(test)]
mod tests;
