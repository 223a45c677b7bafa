package io.vivarium.client;

import io.vivarium.v1.Change;
import io.vivarium.v1.ChangeKind;
import io.vivarium.v1.Transaction;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What a snapshot has already of the transactions that are told after it.
 *
 * <p>Its entries are read one after the other while writes go on, so some are newer than its zxid. A member leaves
 * out of its own stream what they have; another one, which goes on when that fails, does not know them. At all
 * times: what is left out is the same, however often the transactions after the snapshot are told.
 */
final class Seen {
    private final Map<String, Long> setAt = new HashMap<>();
    private long through;

    void insert(String path, long zxid) {
        setAt.put(path, zxid);
    }

    /** The snapshot is whole: nothing in it is later than this. */
    void isThrough(long zxid) {
        through = zxid;
    }

    void clear() {
        setAt.clear();
        through = 0;
    }

    /** Those changes that are news. Transactions come in their order. */
    List<Change> news(Transaction told) {
        List<Change> news = told.getChangesList();
        if (told.getZxid() <= through) {
            news = new ArrayList<>();
            for (Change change : told.getChangesList()) {
                if (isNews(change, told.getZxid())) {
                    news.add(change);
                }
            }
        }
        cameTo(told.getZxid());
        return news;
    }

    /** Everything up to here was told. */
    void cameTo(long zxid) {
        if (zxid >= through) {
            clear();
        }
    }

    /** What came and went before it was read is in neither. */
    private boolean isNews(Change change, long zxid) {
        Long known = setAt.get(change.getPath());
        if (known != null && known >= zxid) {
            return false;
        }
        if (change.getKind() == ChangeKind.CHANGE_KIND_ADDED) {
            setAt.put(change.getPath(), zxid);
            return true;
        }
        if (change.getKind() == ChangeKind.CHANGE_KIND_REMOVED && known != null) {
            setAt.remove(change.getPath());
            return true;
        }
        return known != null;
    }
}
