package clients;

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.apache.zookeeper.client.HostProvider;

/**
 * Tries the members in the given order, from the first on.
 *
 * <p>ZooKeeper's own provider shuffles them, and by chance no client would be connected to the
 * member that is killed.
 */
final class InOrder implements HostProvider {
    private List<InetSocketAddress> members;
    private int next;
    private int triedSinceConnected;

    InOrder(List<String> hosts) {
        members = new ArrayList<>();
        for (String host : hosts) {
            int colon = host.lastIndexOf(':');
            members.add(new InetSocketAddress(host.substring(0, colon), Integer.parseInt(host.substring(colon + 1))));
        }
    }

    @Override
    public synchronized int size() {
        return members.size();
    }

    @Override
    public synchronized InetSocketAddress next(long spinDelayMs) {
        if (triedSinceConnected++ >= members.size() && spinDelayMs > 0) {
            try {
                wait(spinDelayMs);
            } catch (InterruptedException stop) {
                Thread.currentThread().interrupt();
            }
        }
        // A list that was learnt from the ensemble comes with names that nobody has resolved yet.
        InetSocketAddress member = members.get(next++ % members.size());
        return new InetSocketAddress(member.getHostString(), member.getPort());
    }

    @Override
    public synchronized void onConnected() {
        triedSinceConnected = 0;
    }

    @Override
    public synchronized boolean updateServerList(
            Collection<InetSocketAddress> addresses, InetSocketAddress currentHost) {
        members = new ArrayList<>(addresses);
        // No need to leave the member that the client is connected to.
        return false;
    }
}
