// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/device.h"

#include <QTest>

using namespace quantloupe;

namespace {

const QByteArray kDevice = QByteArray("{'quantloupe_device':1,'name':'Thing','kind':'cpu',"
                                      "'memory_bytes':{'value':1e9,'source':'s'},"
                                      "'memory_bandwidth':{'value':1e10,'source':'s'},"
                                      "'bandwidth_efficiency':{'value':0.5,'source':'s'},"
                                      "'compute_efficiency':{'value':1,'source':'s'},"
                                      "'compute':[{'type':'fp16','rate':1e12,'source':'s'}],"
                                      "'energy_per_byte':{'value':1e-10,'source':'s'},"
                                      "'energy_per_operation':{'value':1e-12,'source':'s'},"
                                      "'idle_power':{'value':0,'source':'s'}}")
                               .replace('\'', '"');

Result<DeviceProfile> read(const QByteArray& json)
{
    return DeviceProfile::fromJson({json.constData(), std::size_t(json.size())}, "folder/thing.json");
}

}  // namespace

class TestDevices : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void readsAProfile()
    {
        const auto device = read(kDevice);
        QVERIFY2(device, qPrintable(device ? QString() : QString::fromStdString(describe(device.error()))));
        QCOMPARE(device->id, std::string("thing"));
        QCOMPARE(device->name, std::string("Thing"));
        QCOMPARE(device->memoryBandwidth.value, 1e10);
        QCOMPARE(device->memoryBandwidth.source, std::string("s"));
        QCOMPARE(device->idlePower.value, 0.0);
        QCOMPARE(device->compute.size(), std::size_t(1));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("before");
        QTest::addColumn<QByteArray>("after");
        QTest::addColumn<QString>("names");
        const auto row = [](const char* name, const char* before, const char* after, const char* names) {
            QTest::newRow(name) << QByteArray(before).replace('\'', '"') << QByteArray(after).replace('\'', '"')
                                << QString(names);
        };
        row("version", "'quantloupe_device':1", "'quantloupe_device':2", "quantloupe_device");
        row("no version", "'quantloupe_device':1,", "", "quantloupe_device");
        row("unknown key", "'name':", "'colour':'red','name':", "colour");
        row("unknown key inside", "'idle_power':{", "'idle_power':{'unit':'W',", "idle_power.unit");
        row("no source", "1e10,'source':'s'", "1e10,'source':''", "memory_bandwidth.source");
        row("source missing", "1e10,'source':'s'", "1e10", "memory_bandwidth.source");
        row("negative", "'value':1e10", "'value':-1", "memory_bandwidth.value: must be positive");
        row("zero", "'value':1e-12", "'value':0", "energy_per_operation.value");
        row("negative idle power", "'value':0,", "'value':-1,", "idle_power.value");
        row("share above one", "'value':0.5", "'value':1.5", "bandwidth_efficiency.value: must be above 0");
        row("text", "'value':0.5", "'value':'half'", "bandwidth_efficiency.value: expected a number");
        row("kind", "'cpu'", "'toaster'", "kind");
        row("operand type", "'fp16'", "'fp12'", "compute[0].type");
        row("type twice", "'compute':[", "'compute':[{'type':'fp16','rate':1,'source':'s'},", "compute[1].type");
        row("no rates", "{'type':'fp16','rate':1e12,'source':'s'}", "", "compute");
        row("key twice", "'name':'Thing'", "'name':'Thing','name':'Other'", "twice");
        row("cut", "'name':'Thing'", "'name':", "byte");
    }

    void refuses()
    {
        QFETCH(QByteArray, before);
        QFETCH(QByteArray, after);
        QFETCH(QString, names);
        auto json = kDevice;
        QVERIFY(json.contains(before));
        const auto device = read(json.replace(before, after));
        QVERIFY(!device);
        const auto message = QString::fromStdString(describe(device.error()));
        QVERIFY2(message.contains(names), qPrintable(message));
        QVERIFY(message.startsWith("folder/thing.json"));
    }

    void fallsBackToWiderOperands()
    {
        DeviceProfile device;
        device.compute = {{"fp32", {1.0, "s"}}, {"bf16", {2.0, "s"}}, {"int8", {4.0, "s"}}};
        QCOMPARE(device.rateFor("int4"), 4.0);
        QCOMPARE(device.rateFor("int8"), 4.0);
        QCOMPARE(device.rateFor("fp8"), 2.0);
        QCOMPARE(device.rateFor("fp16"), 2.0);
        QCOMPARE(device.rateFor("fp32"), 1.0);
        device.compute = {{"int8", {4.0, "s"}}};
        QCOMPARE(device.rateFor("fp32"), 0.0);
    }

    void shippedProfilesAreComplete()
    {
        const auto devices = loadDevices(std::filesystem::path(QUANTLOUPE_SOURCE_DIR) / "resources" / "devices");
        QVERIFY2(devices, qPrintable(devices ? QString() : QString::fromStdString(describe(devices.error()))));
        QStringList ids;
        for (const auto& device : *devices) {
            ids << QString::fromStdString(device.id);
            for (const auto* figure : {&device.memoryBytes, &device.memoryBandwidth, &device.bandwidthEfficiency,
                     &device.computeEfficiency, &device.energyPerByte, &device.energyPerOperation, &device.idlePower})
                QVERIFY2(figure->source.size() > 20, device.id.c_str());
            // Units: what a slip by a power of ten would break.
            QVERIFY(device.memoryBytes.value > 1e9 && device.memoryBytes.value < 1e12);
            QVERIFY(device.memoryBandwidth.value > 1e10 && device.memoryBandwidth.value < 1e13);
            QVERIFY(device.energyPerByte.value > 1e-11 && device.energyPerByte.value < 1e-8);
            QVERIFY(device.energyPerOperation.value > 1e-13 && device.energyPerOperation.value < 1e-10);
            QVERIFY(device.rateFor("fp32") > 1e11 && device.rateFor("int8") < 1e16);
            QVERIFY(device.rateFor("int8") >= device.rateFor("fp16"));
            QVERIFY(device.rateFor("fp16") >= device.rateFor("fp32"));
        }
        QCOMPARE(ids,
            (QStringList {"h100-sxm", "jetson-orin-nano-8gb", "macbook-air-m3", "raspberry-pi-5", "rtx-4090",
                "ryzen-9-7950x", "snapdragon-8-gen-3"}));
    }

    void missingFolder()
    {
        const auto devices = loadDevices("/nonexistent/devices");
        QVERIFY(!devices);
        QCOMPARE(devices.error().code, ErrorCode::CannotOpen);
    }
};

QTEST_APPLESS_MAIN(TestDevices)
#include "tst_devices.moc"
