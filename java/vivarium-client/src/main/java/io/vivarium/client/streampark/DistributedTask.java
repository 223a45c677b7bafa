package io.vivarium.client.streampark;

import io.vivarium.client.ClaimedTask;
import java.util.Map;

/**
 * An operation on an application that this server is to carry out: a row of upstream's {@code t_distributed_task},
 * or {@code t_flink_task}.
 */
public final class DistributedTask {
    private final ClaimedTask claimed;
    private final long appId;
    private final DistributedTaskEnum action;

    DistributedTask(ClaimedTask claimed) {
        this.claimed = claimed;
        appId = Long.parseLong(claimed.task().key());
        action = DistributedTaskEnum.valueOf(claimed.task().action());
    }

    public long getId() {
        return claimed.id();
    }

    public long getAppId() {
        return appId;
    }

    public DistributedTaskEnum getAction() {
        return action;
    }

    /** "flink" or "spark", as the application was mapped. */
    public String getEngineType() {
        return claimed.task().engine();
    }

    public boolean getAutoStart() {
        return claimed.task().autoStart();
    }

    /** {@code args}, {@code dynamicProperties}, {@code savepointPath} and the others, by upstream's names. */
    public Map<String, String> getProperties() {
        return claimed.task().properties();
    }

    /** What it is claimed by: its attempts, its token, and whether it is still held. */
    public ClaimedTask claim() {
        return claimed;
    }

    @Override
    public String toString() {
        return action + " of application " + appId;
    }
}
