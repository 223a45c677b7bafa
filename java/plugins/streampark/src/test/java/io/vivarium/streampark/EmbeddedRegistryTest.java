package io.vivarium.streampark;

import io.vivarium.plugin.RegistryContract;

class EmbeddedRegistryTest extends RegistryContract {
    EmbeddedRegistryTest() {
        super(Tested.PLUGIN);
    }
}
