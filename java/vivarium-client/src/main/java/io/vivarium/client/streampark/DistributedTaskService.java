package io.vivarium.client.streampark;

import io.vivarium.client.ClaimedTask;
import io.vivarium.client.Enqueued;
import io.vivarium.client.Task;
import io.vivarium.client.TaskHost;
import io.vivarium.client.TaskService;
import io.vivarium.client.VivariumClient;
import io.vivarium.client.VivariumException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * StreamPark's {@code DistributedTaskService}, and {@code FlinkTaskService} as it was called before, over a
 * {@link TaskService}: the same names, with the hand-over that upstream does not have.
 *
 * <p>Every operation is recorded, those on this server's own applications too; a failed one is tried again and is
 * kept as a dead letter after its last attempt, instead of being forgotten. Whose an application is goes by its id,
 * for operations as for monitoring.
 */
public final class DistributedTaskService<A> implements AutoCloseable {
    private final VivariumClient client;
    private final String queue;
    private final String ring;
    private final int window;
    private final Applications<A> applications;
    private TaskService service;

    /**
     * @param queue path of the task queue
     * @param ring path of the ring: its servers are the entries right below
     * @param window operations that are executed at once; 1 to 256
     */
    public DistributedTaskService(
            VivariumClient client, String queue, String ring, int window, Applications<A> applications) {
        this.client = client;
        this.queue = queue;
        this.ring = ring;
        this.window = window;
        this.applications = applications;
    }

    /**
     * Registers this server in the ring, by its address {@code ip:port}, and returns once it acts by it.
     *
     * @throws VivariumException as {@link TaskService#init}
     * @throws IllegalStateException if it was called before
     */
    public synchronized void init(String serverName) {
        if (service != null) {
            throw new IllegalStateException("the service was initialised before");
        }
        service = TaskService.init(client, queue, ring, window, serverName, new Host());
    }

    /** As {@link #init(String)}. The others need not be known: they are those that are registered in the ring. */
    public void init(Set<String> allServers, String serverId) {
        init(serverId);
    }

    private synchronized TaskService service() {
        if (service == null) {
            throw new IllegalStateException("the service is not initialised");
        }
        return service;
    }

    /** Those of the applications that are this server's. The host is told of those that it gains later. */
    public List<A> getMonitoredTaskList(List<A> all) {
        List<Long> ids = new ArrayList<>();
        all.forEach(each -> ids.add(applications.appId(each)));
        Set<Long> own = new HashSet<>(service().monitored(ids));
        List<A> monitored = new ArrayList<>();
        for (A each : all) {
            if (own.contains(applications.appId(each))) {
                monitored.add(each);
            }
        }
        return monitored;
    }

    /** Whether the application is this server's. False on an empty ring and while the client is SUSPENDED. */
    public boolean isLocalProcessing(Long appId) {
        return service().isLocalProcessing(appId);
    }

    /** Adds a server to the ring that does not register itself; it stays until it is removed. */
    public void addServer(String server) {
        service().addServerRedistribute(server);
    }

    /** {@link #addServer} by its earlier name. */
    public void addServerRedistribute(String server) {
        addServer(server);
    }

    /** Takes a server off the ring; its applications go to others. */
    public void removeServer(String server) {
        service().removeServerRedistribute(server);
    }

    /** {@link #removeServer} by its earlier name. */
    public void removeServerRedistribute(String server) {
        removeServer(server);
    }

    /**
     * Records an operation, which whoever owns the application carries out. Returns once it is durable.
     *
     * @throws VivariumException where it is not recorded: unlike upstream, nothing is lost silently
     */
    public Enqueued saveDistributedTask(A application, boolean autoStart, DistributedTaskEnum action) {
        Task.Builder task = Task.of(Long.toString(applications.appId(application)))
                .action(action.name())
                .engine(applications.engineType(application))
                .autoStart(autoStart);
        applications.properties(application).forEach(task::property);
        return service().save(task.build());
    }

    /** {@link #saveDistributedTask} by its earlier name. */
    public Enqueued saveFlinkTask(A application, boolean autoStart, DistributedTaskEnum action) {
        return saveDistributedTask(application, autoStart, action);
    }

    /** Leaves the ring, as {@link TaskService#close}. */
    @Override
    public void close() {
        TaskService open;
        synchronized (this) {
            open = service;
        }
        if (open != null) {
            open.close();
        }
    }

    private final class Host implements TaskHost {
        @Override
        public void execute(ClaimedTask task) throws Exception {
            // One that is none of ours fails like any other, and is seen among the dead letters.
            applications.executeDistributedTask(new DistributedTask(task));
        }

        @Override
        public void lost(List<Long> jobs) {
            applications.lost(jobs);
        }

        @Override
        public void gained(List<Long> jobs) {
            applications.gained(jobs);
        }
    }
}
