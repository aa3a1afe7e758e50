// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/make_sample/sample_model.h"

#include <QFile>
#include <QTest>

class TestMakeSample : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void committedFilesAreTheGeneratorsOutput_data()
    {
        QTest::addColumn<QString>("name");
        QTest::addColumn<QByteArray>("made");
        const auto model = quantloupe::makeSampleModel();
        QTest::addRow("weights") << "model.safetensors" << QByteArray::fromStdString(model.safetensors);
        QTest::addRow("config") << "config.json" << QByteArray::fromStdString(model.config);
    }
    void committedFilesAreTheGeneratorsOutput()
    {
        QFETCH(const QString, name);
        QFETCH(const QByteArray, made);
        QFile file(QStringLiteral(QUANTLOUPE_SOURCE_DIR "/resources/samples/quantloupe-sample/") + name);
        QVERIFY(file.open(QIODevice::ReadOnly));
        QVERIFY2(file.readAll() == made, "run quantloupe-make-sample on resources/samples/quantloupe-sample");
        QVERIFY(made.size() <= 4 * 1024 * 1024);
    }

    void saysThatItIsSynthetic()
    {
        QVERIFY(
            quantloupe::makeSampleModel().safetensors.find(R"("quantloupe.synthetic":"true")") != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestMakeSample)
#include "tst_make_sample.moc"
