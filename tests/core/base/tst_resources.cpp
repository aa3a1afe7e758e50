// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/resources.h"

#include <QTemporaryDir>
#include <QTest>

using namespace quantloupe;

class TestResources : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void cleanup() { qunsetenv("QUANTLOUPE_RESOURCES"); }

    void theVariableComesFirst()
    {
        QTemporaryDir folder;
        qputenv("QUANTLOUPE_RESOURCES", folder.path().toUtf8());
        QCOMPARE(resourceFolder("/usr/bin/quantloupe-cli").value().string(), folder.path().toStdString());
    }

    void aWrongVariableIsNamed()
    {
        qputenv("QUANTLOUPE_RESOURCES", "/no/such/folder");
        const auto found = resourceFolder("/usr/bin/quantloupe-cli");
        QVERIFY(!found);
        QCOMPARE(found.error().code, ErrorCode::CannotOpen);
        QVERIFY(found.error().reason.find("/no/such/folder") != std::string::npos);
    }

    void thenBesideTheProgramThenTheSources()
    {
        QTemporaryDir folder;
        const std::filesystem::path prefix(folder.path().toStdString());
        const auto executable = (prefix / "bin" / "quantloupe-cli").string();
        std::filesystem::create_directories(prefix / "bin");
        const auto sources = resourceFolder(executable);
        QVERIFY(sources.has_value());
        QVERIFY(std::filesystem::exists(sampleModel(*sources)));
        std::filesystem::create_directories(prefix / "share" / "quantloupe");
        QCOMPARE(resourceFolder(executable).value(), std::filesystem::canonical(prefix) / "share" / "quantloupe");
    }
};

QTEST_APPLESS_MAIN(TestResources)
#include "tst_resources.moc"
