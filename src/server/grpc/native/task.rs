//! `vivarium.v1.TaskService`.

use super::{Native, freshness, page, status, unknown};
use crate::api::task_service_server::TaskService;
use crate::api::{
    self, ClaimedTask, CompleteRequest, CompleteResponse, CountsRequest, CountsResponse,
    EnqueueAllRequest, EnqueueAllResponse, EnqueueRequest, EnqueueResponse, EnqueuedTask,
    FailRequest, FailResponse, FetchRequest, FetchResponse, FinishRequest, FinishResponse,
    GetTaskRequest, ListTasksRequest, ListTasksResponse, NewTask, ReceiveRequest, TaskRequest,
    TaskResponse, TaskStanding, TaskState,
};
use crate::compat::tasks::{
    self, Enqueuing, FETCH_MAX, Failed, Fetching, Finishing, Found, Offered, Pushing, Standing,
    Task,
};
use crate::compat::{Failure, Writer};
use crate::model::Zxid;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

const PRIORITY_DEFAULT: u32 = 5;
const ATTEMPTS_DEFAULT: u32 = 3;
/// 256 of the largest tasks are 33 MiB.
const LIST_MAX: usize = 256;

#[tonic::async_trait]
impl TaskService for Arc<Native> {
    async fn enqueue(
        &self,
        request: Request<EnqueueRequest>,
    ) -> Result<Response<EnqueueResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let enqueuing = enqueuing(NewTask {
            task: asked.task,
            delay_ms: asked.delay_ms,
        })?;
        let enqueued = self.tasks.enqueue(&writer, &asked.queue, vec![enqueuing]);
        let (zxid, enqueued) = enqueued.await.map_err(status::of)?;
        Ok(Response::new(EnqueueResponse {
            zxid: zxid.0,
            id: enqueued[0].id,
            known: enqueued[0].known,
        }))
    }

    async fn enqueue_all(
        &self,
        request: Request<EnqueueAllRequest>,
    ) -> Result<Response<EnqueueAllResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let tasks = asked.tasks.into_iter().map(enqueuing);
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        let enqueued = self.tasks.enqueue(&writer, &asked.queue, tasks).await;
        let (zxid, enqueued) = enqueued.map_err(status::of)?;
        let tasks = enqueued.into_iter().map(|enqueued| EnqueuedTask {
            id: enqueued.id,
            known: enqueued.known,
        });
        Ok(Response::new(EnqueueAllResponse {
            zxid: zxid.0,
            tasks: tasks.collect(),
        }))
    }

    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<FetchResponse>, Status> {
        let session = request.get_ref().session.clone();
        let writer = self.claimer(&request, session).await?;
        let asked = request.into_inner();
        let fetching = Fetching {
            queue: asked.queue,
            server: asked.server,
            limit: asked.limit as usize,
            wait: Duration::from_millis(asked.wait_ms.into()),
            ring: (!asked.ring.is_empty()).then_some(asked.ring),
            epoch: asked.epoch.map(Zxid),
            include_held: asked.include_held,
            known: asked.known.into_iter().map(Zxid).collect(),
            known_claims: asked
                .known_claims
                .into_iter()
                .map(|known| (known.id, Zxid(known.token)))
                .collect(),
            held_only: asked.held_only,
        };
        let offered = self.tasks.fetch(&writer, &fetching).await;
        Ok(Response::new(fetched(offered.map_err(status::of)?)))
    }

    type ReceiveStream = BoxStream<'static, Result<FetchResponse, Status>>;

    async fn receive(
        &self,
        request: Request<ReceiveRequest>,
    ) -> Result<Response<Self::ReceiveStream>, Status> {
        let session = request.get_ref().session.clone();
        let writer = self.claimer(&request, session).await?;
        let asked = request.into_inner();
        let window = asked.window as usize;
        let fetching = Fetching {
            queue: asked.queue,
            server: asked.server,
            limit: FETCH_MAX,
            wait: Duration::ZERO,
            ring: (!asked.ring.is_empty()).then_some(asked.ring),
            epoch: asked.epoch.map(Zxid),
            include_held: false,
            known: HashSet::new(),
            known_claims: HashSet::new(),
            held_only: false,
        };
        let pushing = Some((Arc::clone(self), Pushing::default()));
        let pushed = futures::stream::unfold(pushing, move |pushing| {
            let (writer, fetching) = (writer.clone(), fetching.clone());
            async move {
                let (native, mut pushing) = pushing?;
                let offered = native
                    .tasks
                    .push(&writer, &fetching, window, &mut pushing)
                    .await;
                Some(match offered {
                    Ok(offered) => (Ok(fetched(offered)), Some((native, pushing))),
                    Err(failure) => (Err(status::of(failure)), None),
                })
            }
        });
        Ok(Response::new(pushed.boxed()))
    }

    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<CompleteResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let finished = finishing(asked.id, asked.token, None);
        let (zxid, _) = self
            .tasks
            .finish(&writer, &asked.queue, &[finished])
            .await
            .map_err(status::of)?;
        Ok(Response::new(CompleteResponse { zxid: zxid.0 }))
    }

    async fn fail(&self, request: Request<FailRequest>) -> Result<Response<FailResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let failed = Failed {
            error: &asked.error,
            delay: Duration::from_millis(asked.retry_after_ms),
            is_begun: !asked.not_begun,
        };
        let finished = finishing(asked.id, asked.token, Some(failed));
        let (zxid, dead) = self
            .tasks
            .finish(&writer, &asked.queue, &[finished])
            .await
            .map_err(status::of)?;
        Ok(Response::new(FailResponse {
            zxid: zxid.0,
            dead: dead[0],
        }))
    }

    async fn finish(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let finished = asked.tasks.iter().map(|finished| {
            let failed = finished.failed.as_ref().map(|failed| Failed {
                error: &failed.error,
                delay: Duration::from_millis(failed.retry_after_ms),
                is_begun: !failed.not_begun,
            });
            finishing(finished.id, finished.token, failed)
        });
        let finished: Vec<Finishing<'_>> = finished.collect();
        let finished = self.tasks.finish(&writer, &asked.queue, &finished).await;
        let (zxid, dead) = finished.map_err(status::of)?;
        Ok(Response::new(FinishResponse { zxid: zxid.0, dead }))
    }

    async fn get(&self, request: Request<GetTaskRequest>) -> Result<Response<TaskState>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let read = freshness(asked.read.as_ref());
        let found = self
            .tasks
            .get(&identities, &asked.queue, asked.id, read)
            .await
            .map_err(status::of)?;
        Ok(Response::new(state(found)))
    }

    async fn list(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let standing = match TaskStanding::try_from(request.get_ref().standing) {
            Ok(TaskStanding::Unspecified) => None,
            Ok(TaskStanding::Pending) => Some(Standing::Pending),
            Ok(TaskStanding::Delayed) => Some(Standing::Delayed),
            Ok(TaskStanding::Claimed) => Some(Standing::Claimed),
            Ok(TaskStanding::Dead) => Some(Standing::Dead),
            Err(_) => return Err(unknown("standing")),
        };
        self.list_tasks(request, standing).await
    }

    async fn list_dead(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        match TaskStanding::try_from(request.get_ref().standing) {
            Ok(TaskStanding::Unspecified | TaskStanding::Dead) => {}
            _ => {
                return Err(status::of(Failure::InvalidArgument(
                    "`standing` is dead here".to_owned(),
                )));
            }
        }
        self.list_tasks(request, Some(Standing::Dead)).await
    }

    async fn counts(
        &self,
        request: Request<CountsRequest>,
    ) -> Result<Response<CountsResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let (counts, oldest) = self
            .tasks
            .counts(&identities, &asked.queue)
            .await
            .map_err(status::of)?;
        Ok(Response::new(CountsResponse {
            pending: counts.pending as u64,
            delayed: counts.delayed as u64,
            claimed: counts.claimed as u64,
            dead: counts.dead as u64,
            oldest_age_ms: oldest.as_millis() as u64,
        }))
    }

    async fn cancel(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<TaskResponse>, Status> {
        let (writer, asked) = self.about(request).await?;
        let done = self.tasks.cancel(&writer, &asked.queue, asked.id).await;
        decided(done)
    }

    async fn redrive(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<TaskResponse>, Status> {
        let (writer, asked) = self.about(request).await?;
        let done = self.tasks.redrive(&writer, &asked.queue, asked.id).await;
        decided(done)
    }

    async fn discard(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<TaskResponse>, Status> {
        let (writer, asked) = self.about(request).await?;
        let done = self.tasks.discard(&writer, &asked.queue, asked.id).await;
        decided(done)
    }
}

impl Native {
    /// Claims carry neither numbers nor fences.
    async fn claimer<T>(
        &self,
        request: &Request<T>,
        session: Option<api::SessionRef>,
    ) -> Result<Writer, Status> {
        let header = api::WriteHeader {
            session,
            ..Default::default()
        };
        self.writer(request, Some(&header)).await
    }

    async fn about(&self, request: Request<TaskRequest>) -> Result<(Writer, TaskRequest), Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        Ok((writer, request.into_inner()))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
        standing: Option<Standing>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_| {
                status::of(Failure::InvalidArgument(format!(
                    "the page token {token:?} is not of this list"
                )))
            })?),
        };
        let size = page(asked.page_size, LIST_MAX, LIST_MAX);
        let (found, next) = self
            .tasks
            .list(&identities, &asked.queue, standing, after, size)
            .await
            .map_err(status::of)?;
        Ok(Response::new(ListTasksResponse {
            tasks: found.into_iter().map(state).collect(),
            next_page_token: next.map_or(String::new(), |id| id.to_string()),
        }))
    }
}

fn decided(done: Result<Zxid, Failure>) -> Result<Response<TaskResponse>, Status> {
    let zxid = done.map_err(status::of)?.0;
    Ok(Response::new(TaskResponse { zxid }))
}

fn enqueuing(asked: NewTask) -> Result<Enqueuing, Status> {
    Ok(Enqueuing {
        task: task(asked.task.ok_or_else(|| status::missing("task"))?)?,
        delay: Duration::from_millis(asked.delay_ms),
    })
}

fn finishing(id: i64, token: i64, failed: Option<Failed<'_>>) -> Finishing<'_> {
    Finishing {
        id,
        token: Zxid(token),
        failed,
    }
}

fn task(asked: api::Task) -> Result<Task, Status> {
    let priority = asked.priority.unwrap_or(PRIORITY_DEFAULT);
    let priority = u8::try_from(priority)
        .ok()
        .filter(|priority| *priority <= tasks::PRIORITY_MAX)
        .ok_or_else(|| {
            status::of(Failure::InvalidArgument(format!(
                "`priority` is 0 to {}",
                tasks::PRIORITY_MAX
            )))
        })?;
    Ok(Task {
        key: asked.key,
        action: asked.action,
        engine: asked.engine,
        properties: asked.properties.into_iter().collect(),
        payload: asked.payload,
        auto_start: asked.auto_start,
        priority,
        idempotency_key: asked.idempotency_key,
        attempts: 0,
        attempts_max: match asked.attempts_max {
            0 => ATTEMPTS_DEFAULT,
            asked => asked,
        },
        not_before_ms: 0,
        dead: false,
        error: String::new(),
    })
}

fn message(task: Task) -> api::Task {
    api::Task {
        key: task.key,
        action: task.action,
        engine: task.engine,
        properties: task.properties.into_iter().collect(),
        payload: task.payload,
        auto_start: task.auto_start,
        priority: Some(task.priority.into()),
        idempotency_key: task.idempotency_key,
        attempts_max: task.attempts_max,
    }
}

fn fetched(offered: Vec<Offered>) -> FetchResponse {
    let tasks = offered.into_iter().map(|mut offered| ClaimedTask {
        id: offered.id,
        token: offered.token.0,
        attempts: offered.task.attempts,
        epoch: offered.claim.epoch,
        error: std::mem::take(&mut offered.task.error),
        task: Some(message(offered.task)),
    });
    FetchResponse {
        tasks: tasks.collect(),
    }
}

fn state(mut found: Found) -> TaskState {
    let standing = match found.standing {
        Standing::Pending => TaskStanding::Pending,
        Standing::Delayed => TaskStanding::Delayed,
        Standing::Claimed => TaskStanding::Claimed,
        Standing::Dead => TaskStanding::Dead,
    };
    let (session_id, token) = found
        .claim
        .as_ref()
        .map_or((0, 0), |claim| (claim.session.0, claim.token.0));
    let claim = found.claim.map(|found| found.claim);
    TaskState {
        id: found.id,
        standing: standing.into(),
        attempts: found.task.attempts,
        error: std::mem::take(&mut found.task.error),
        not_before_ms: found.task.not_before_ms,
        created_ms: found.created_ms,
        session_id,
        epoch: claim.as_ref().map_or(0, |claim| claim.epoch),
        server: claim.map_or(String::new(), |claim| claim.server),
        token,
        task: Some(message(found.task)),
    }
}
