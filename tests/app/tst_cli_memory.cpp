// SPDX-License-Identifier: GPL-3.0-or-later
// Memory does not grow with a tensor: one of 3 GB, mostly a hole in its file, under a limit of 300 MB for all that is
// not the mapped file.
#include "tests/app/cli_fixture.h"

#include <QTest>

#include <array>

using namespace quantloupe::tests;

#if defined(QUANTLOUPE_SHADOW_MEMORY)
constexpr bool limitable = false;  // the sanitizer maps terabytes
#else
constexpr bool limitable = true;
#endif

class TestCliMemory : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    QString m_model;

private Q_SLOTS:
    void initTestCase()
    {
        if (!limitable)
            QSKIP("address space cannot be limited under the address sanitizer");
        constexpr qint64 rows = 196'608, columns = 4'096, bytes = rows * columns * 4;
        static_assert(bytes > 3'000'000'000);
        m_model = m_folder.filePath("large.safetensors");
        const auto json = QJsonDocument(QJsonObject {{"model.layers.0.mlp.down_proj.weight",
                                            QJsonObject {{"dtype", "F32"}, {"shape", QJsonArray {rows, columns}},
                                                {"data_offsets", QJsonArray {0, bytes}}}}})
                              .toJson(QJsonDocument::Compact);
        const auto length = static_cast<std::uint64_t>(json.size());
        QFile file(m_model);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(QByteArray(reinterpret_cast<const char*>(&length), 8) + json);
        QVERIFY(file.resize(8 + json.size() + bytes));
        // Some rows hold something.
        std::mt19937 random(1);
        std::normal_distribution<float> normal(0.0F, 0.05F);
        std::array<float, columns> row {};
        for (qint64 at = 0; at < rows; at += 4'099) {
            for (float& weight : row)
                weight = normal(random);
            QVERIFY(file.seek(8 + json.size() + at * columns * 4));
            file.write(reinterpret_cast<const char*>(row.data()), columns * 4);
        }
    }

    void staysWithinTheLimit_data()
    {
        QTest::addColumn<QStringList>("schemes");
        QTest::addRow("uniform") << QStringList {"--scheme", "int4:g128", "--scheme", "int8"};
        QTest::addRow("tensor") << QStringList {"--scheme", "int8:tensor"};
        QTest::addRow("blocks and shared scales") << QStringList {"--scheme", "int4:b128x128", "--scheme", "nf4:s8"};
        QTest::addRow("ggml") << QStringList {"--scheme", "q4_0"};
    }

    void staysWithinTheLimit()
    {
        QFETCH(const QStringList, schemes);
        QProcess process;
        // RLIMIT_DATA counts heap, stacks and private memory, and no mapped file.
        process.start("/bin/sh",
            QStringList {"-c", "ulimit -d 307200 && exec \"$0\" \"$@\"", QStringLiteral(QUANTLOUPE_CLI), "analyze",
                m_model, "--threads", "2", "--json"}
                + schemes);
        QVERIFY(process.waitForFinished(240'000));
        QCOMPARE(process.exitStatus(), QProcess::NormalExit);
        QVERIFY2(process.exitCode() == 0, process.readAllStandardError());
        const auto results = QJsonDocument::fromJson(process.readAllStandardOutput()).object()["results"].toArray();
        QCOMPARE(results.size(), schemes.size() / 2);
        for (const auto& result : results)
            QVERIFY(result.toObject()["sqnr_db"].toDouble() > 10.0);
    }
};

QTEST_GUILESS_MAIN(TestCliMemory)
#include "tst_cli_memory.moc"
