package io.vivarium.client;

import io.vivarium.v1.CountsRequest;
import io.vivarium.v1.EnqueueAllRequest;
import io.vivarium.v1.EnqueueAllResponse;
import io.vivarium.v1.FetchRequest;
import io.vivarium.v1.FetchResponse;
import io.vivarium.v1.GetTaskRequest;
import io.vivarium.v1.ListTasksRequest;
import io.vivarium.v1.ListTasksResponse;
import io.vivarium.v1.NewTask;
import io.vivarium.v1.TaskRequest;
import io.vivarium.v1.TaskResponse;
import io.vivarium.v1.TaskServiceGrpc;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Queues of tasks: enqueued once, claimed by a session, done by whom they concern. A queue is a path.
 *
 * <p>At all times: a task that was claimed for this client is in the hands of a {@link ClaimedTask}, or is given
 * back in the background: when the answer that told of it was lost, or nobody waits for it any more. Every method
 * throws {@link VivariumException}.
 */
public final class Tasks {
    /** Tasks of one fetch, and of one batch that is enqueued. */
    public static final int FETCH_MAX = 64;
    /** How long a member lets one call wait. */
    static final Duration WAIT_MAX = Duration.ofSeconds(60);

    private final VivariumClient client;

    Tasks(VivariumClient client) {
        this.client = client;
    }

    static long millis(Duration time) {
        return Deadline.nanos(time) / 1_000_000;
    }

    /**
     * Returns once the task is durable, and before anybody does it. It is enqueued once although an answer is lost;
     * an idempotency key lets it also be enqueued again later, and by other clients.
     *
     * @throws VivariumException LIMIT_REACHED where the queue is full or the task too large; COMPACTED where it was
     *     enqueued, the answer was lost, and no member tells its id any more
     */
    public Enqueued enqueue(String queue, Task task) {
        return enqueue(queue, task, Duration.ZERO);
    }

    /**
     * As {@link #enqueue(String, Task)}; not to be offered before the delay has passed, 30 days at most. What other threads
     * enqueue meanwhile goes with the next call together, unless the client is fenced.
     */
    public Enqueued enqueue(String queue, Task task, Duration delay) {
        NewTask part = part(task, delay);
        Deadline deadline = client.deadline();
        Session session = client.core.session(deadline);
        return session.enqueuing.send(client, session, deadline, queue, part, part.getSerializedSize());
    }

    /**
     * Several tasks in one step: all are durable, or none is enqueued. 1 to 64, of 1 MiB together.
     *
     * @return one for each, in their order
     * @throws VivariumException as {@link #enqueue(String, Task)}
     */
    public List<Enqueued> enqueueAll(String queue, Collection<Task> tasks, Duration delay) {
        List<NewTask> parts = new ArrayList<>();
        tasks.forEach(task -> parts.add(part(task, delay)));
        Deadline deadline = client.deadline();
        return send(client, client.core.session(deadline), deadline, queue, parts);
    }

    private static NewTask part(Task task, Duration delay) {
        return NewTask.newBuilder().setTask(task.message).setDelayMs(millis(delay)).build();
    }

    static List<Enqueued> send(
            VivariumClient client, Session session, Deadline deadline, String queue, List<NewTask> parts) {
        EnqueueAllResponse answer = client.write(
                session, deadline, TaskServiceGrpc.getEnqueueAllMethod(), header -> EnqueueAllRequest.newBuilder()
                        .setHeader(header)
                        .setQueue(queue)
                        .addAllTasks(parts)
                        .build());
        client.core.saw(answer.getZxid());
        if (answer.getTasksCount() != parts.size()) {
            throw VivariumException.broken("there are not as many answers as there were tasks");
        }
        List<Enqueued> enqueued = new ArrayList<>();
        answer.getTasksList().forEach(
                task -> enqueued.add(new Enqueued(answer.getZxid(), task.getId(), task.getKnown())));
        return enqueued;
    }

    /**
     * Claims tasks, by priority (0 first) and then by id; none if the time was over. Fetches of one queue by one
     * client take turns. One that fails or is interrupted gives back what it had claimed, without counting an
     * attempt.
     *
     * @throws VivariumException STALE_EPOCH where the ring is of another epoch than is demanded; INVALID_OPTIONS
     *     where the client has 1,024 tasks already
     */
    public List<ClaimedTask> fetch(Fetching fetching) {
        Deadline until = Deadline.in(fetching.wait);
        Session session = client.core.session(client.deadline());
        try {
            if (!session.claims.beginAsking(fetching.queue, until)) {
                return Collections.emptyList();
            }
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
        boolean tidies = false;
        try {
            int room = Claims.CLAIMS_MAX - session.claims.count();
            if (room <= 0) {
                throw VivariumException.invalid("a client has " + Claims.CLAIMS_MAX + " tasks at most");
            }
            FetchRequest.Builder request = FetchRequest.newBuilder()
                    .setSession(session.reference)
                    .setQueue(fetching.queue)
                    .setServer(fetching.server)
                    .setLimit(Math.min(fetching.limit, room))
                    .setRing(fetching.ring);
            if (fetching.epoch != null) {
                request.setEpoch(fetching.epoch);
            }
            for (;;) {
                Duration left = Duration.ofNanos(Math.max(0, until.leftNanos()));
                List<ClaimedTask> claimed;
                try {
                    claimed = ask(session, request, left.compareTo(WAIT_MAX) < 0 ? left : WAIT_MAX);
                } catch (VivariumException error) {
                    // What was refused has claimed nothing, or an earlier attempt has.
                    if (!session.isLost() && !error.is(VivariumException.Kind.SESSION_LOST)) {
                        tidies = true;
                        session.claims.brokenOff();
                        client.core.tidy("what was claimed of " + fetching.queue, () -> {
                            try {
                                giveBack(session, request);
                            } finally {
                                session.claims.endAsking(fetching.queue);
                            }
                        });
                    }
                    throw error;
                }
                if (!claimed.isEmpty() || until.isOver()) {
                    return claimed;
                }
            }
        } finally {
            if (!tidies) {
                session.claims.endAsking(fetching.queue);
            }
        }
    }

    private List<ClaimedTask> ask(Session session, FetchRequest.Builder request, Duration wait) {
        Deadline turn = Deadline.in(wait);
        AtomicBoolean first = new AtomicBoolean(true);
        FetchResponse answer = client.core.call(
                turn.plus(client.requestTimeout), session, TaskServiceGrpc.getFetchMethod(), () -> {
                    boolean includeHeld = !first.getAndSet(false) || session.claims.mayBeUnknown();
                    FetchRequest.Builder asked = request.clone()
                            .setWaitMs((int) Math.max(0, turn.leftNanos() / 1_000_000))
                            .setIncludeHeld(includeHeld);
                    if (includeHeld) {
                        asked.addAllKnownClaims(session.claims.held());
                    }
                    return asked.build();
                });
        return claimed(session, request.getQueue(), answer);
    }

    private List<ClaimedTask> claimed(Session session, String queue, FetchResponse answer) {
        List<ClaimedTask> tasks = new ArrayList<>();
        for (io.vivarium.v1.ClaimedTask each : answer.getTasksList()) {
            session.claims.insert(each.getId(), each.getToken());
            tasks.add(new ClaimedTask(client, session, queue, each));
        }
        return tasks;
    }

    /** What a call that was broken off has claimed. What it claims later is found by the next fetch. */
    private void giveBack(Session session, FetchRequest.Builder request) {
        FetchResponse answer = client.core.call(
                Deadline.NEVER, session, TaskServiceGrpc.getFetchMethod(), () -> FetchRequest.newBuilder()
                        .setSession(session.reference)
                        .setQueue(request.getQueue())
                        .setServer(request.getServer())
                        .setLimit(FETCH_MAX)
                        .setIncludeHeld(true)
                        .setHeldOnly(true)
                        .addAllKnownClaims(session.claims.held())
                        .build());
        claimed(session, request.getQueue(), answer).forEach(ClaimedTask::giveBackLater);
    }

    /**
     * Has tasks carried out as they come, no more at once than {@link Fetching#limit} (256 at most), until the
     * worker is closed.
     */
    public TaskWorker work(Fetching fetching, TaskHandler handler) {
        return new TaskWorker(client, fetching, handler);
    }

    /**
     * A task of a queue.
     *
     * @throws VivariumException NO_ENTRY once the task is done, cancelled or discarded
     */
    public TaskState get(String queue, long id) {
        return new TaskState(client.read(TaskServiceGrpc.getGetMethod(), () -> GetTaskRequest.newBuilder()
                .setQueue(queue)
                .setId(id)
                .setRead(client.readOptions())
                .build()));
    }

    /** All tasks of a queue, by id. Goes by what a member has heard of, a moment behind. */
    public List<TaskState> list(String queue) {
        return list(queue, io.vivarium.v1.TaskStanding.TASK_STANDING_UNSPECIFIED);
    }

    /** As {@link #list(String)}, those of one standing. */
    public List<TaskState> list(String queue, TaskStanding standing) {
        return list(queue, standing.message);
    }

    /** The dead letters: those whose attempts are used up. As {@link #list(String)}. */
    public List<TaskState> listDead(String queue) {
        return list(queue, TaskStanding.DEAD);
    }

    private List<TaskState> list(String queue, io.vivarium.v1.TaskStanding standing) {
        List<TaskState> all = new ArrayList<>();
        String[] token = {""};
        do {
            ListTasksResponse page =
                    client.read(TaskServiceGrpc.getListMethod(), () -> ListTasksRequest.newBuilder()
                            .setQueue(queue)
                            .setStanding(standing)
                            .setPageToken(token[0])
                            .build());
            page.getTasksList().forEach(task -> all.add(new TaskState(task)));
            token[0] = page.getNextPageToken();
        } while (!token[0].isEmpty());
        return all;
    }

    /** As {@link #list(String)}, a moment behind. */
    public TaskCounts counts(String queue) {
        CountsRequest request = CountsRequest.newBuilder().setQueue(queue).build();
        return new TaskCounts(client.read(TaskServiceGrpc.getCountsMethod(), () -> request));
    }

    /**
     * Removes a task that is not dead, also from who has claimed it.
     *
     * @throws VivariumException NO_ENTRY; KIND_MISMATCH if it is dead
     */
    public void cancel(String queue, long id) {
        decide(queue, id, TaskServiceGrpc.getCancelMethod());
    }

    /**
     * Has a dead task tried again, as often as at first.
     *
     * @throws VivariumException NO_ENTRY; KIND_MISMATCH if it is not dead
     */
    public void redrive(String queue, long id) {
        decide(queue, id, TaskServiceGrpc.getRedriveMethod());
    }

    /**
     * Removes a dead task.
     *
     * @throws VivariumException NO_ENTRY; KIND_MISMATCH if it is not dead
     */
    public void discard(String queue, long id) {
        decide(queue, id, TaskServiceGrpc.getDiscardMethod());
    }

    private void decide(String queue, long id, MethodDescriptor<TaskRequest, TaskResponse> method) {
        TaskResponse answer = client.write(method, header -> TaskRequest.newBuilder()
                .setHeader(header)
                .setQueue(queue)
                .setId(id)
                .build());
        client.core.saw(answer.getZxid());
    }
}
