// SPDX-License-Identifier: GPL-3.0-or-later
// Gradients in a study: what is kept, read back, gone on with, replaced, and refused.
#include "core/calibration/gather_gradients.h"
#include "core/study/calibrate_gradients.h"
#include "core/study/calibrate_study.h"
#include "core/study/known_inputs.h"
#include "core/study/stored_curvature.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/text_windows.h"

#include <QDir>
#include <QFile>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestStudyGradients : public QObject
{
    Q_OBJECT
    std::unique_ptr<QTemporaryDir> m_folder;
    ModelPointer m_model;
    Decoder m_decoder;
    const WindowedText m_text = randomWindows(61, {20, 20, 20}, 3);

    std::filesystem::path study() const { return m_folder->filePath("s.h5").toStdString(); }
    QStringList files() const
    {
        return QDir(m_folder->filePath("s.h5.inputs")).entryList({"*.gradient"}, QDir::Files, QDir::Name);
    }
    std::unique_ptr<Study> opened() const { return Study::open(study(), *m_model).value(); }
    Result<std::size_t> take(Study& file, const WindowedText& text, bool fisher = true) const
    {
        Progress progress;
        return calibrateGradients(file, m_decoder, text, "t.txt", {.fisher = fisher}, {}, progress);
    }
    static LayerName layer() { return {"model.layers.1.mlp.down_proj.weight"}; }

private Q_SLOTS:
    void init()
    {
        m_folder = std::make_unique<QTemporaryDir>();
        m_model = openTiny(tinyFamilies().at("llama"), m_folder->path().toStdString()).value();
        m_decoder = describeDecoder(*m_model).value();
    }

    void whatTheyTakeIsSaidBefore()
    {
        for (const bool fisher : {true, false}) {
            {
                auto file = opened();
                QVERIFY(take(*file, m_text, fisher));
                QVERIFY(file->close());
            }
            qint64 bytes = 0;
            for (const auto& name : files())
                bytes += QFile(m_folder->filePath("s.h5.inputs/") + name).size();
            QCOMPARE(quint64(bytes), quint64(gradientBytes(catalogOf(*m_model), fisher)));
        }
    }

    void whatIsKeptIsReadBack()
    {
        std::map<std::string, GatheredGradients> expected;
        Progress progress;
        QVERIFY(gatherGradients(
            m_decoder, windowsForGradients(m_text, 1000), true, {}, {},
            [&](GatheredGradients one) -> Result<void> {
                const auto name = one.figures.layer.text();
                expected.emplace(name, std::move(one));
                return {};
            },
            {}, progress));
        {
            auto file = opened();
            const auto taken = take(*file, m_text);
            QVERIFY2(taken, taken ? "" : describe(taken.error()).c_str());
            QCOMPARE(*taken, std::size_t(15));
            // Durable before it is folded in.
            QCOMPARE((*Study::read(study()))->calibration.gradients.size(), std::size_t(15));
            QVERIFY(file->close());
        }
        QCOMPARE(files().size(), 15);
        const auto snapshot = Study::read(study());
        QVERIFY2(snapshot, snapshot ? "" : describe(snapshot.error()).c_str());
        const auto& gradients = (*snapshot)->calibration.gradients;
        QCOMPARE(gradients.size(), std::size_t(15));
        for (const auto& [name, figures] : gradients) {
            auto wanted = expected.at(name.text()).figures;
            wanted.text.name = "t.txt";
            wanted.file = figures->file;
            QVERIFY(*figures == wanted);
        }
        const auto curvature = loadCurvature(**snapshot, study(), layer(), {});
        QVERIFY2(curvature, curvature ? "" : describe(curvature.error()).c_str());
        const auto& one = expected.at(layer().text());
        const auto moments = one.moments.whole();
        QCOMPARE((*curvature)->outputMoments.size(), moments.size());
        for (std::size_t i = 0; i < moments.size(); ++i)
            QVERIFY(std::abs(double((*curvature)->outputMoments[i]) - moments[i] / 57.0) <= 1e-6 * moments.front());
        for (std::size_t i = 0; i < one.fisher.size(); ++i)
            QCOMPARE((*curvature)->fisher[i], float(double(one.fisher[i]) / 57.0));
        QVERIFY(*loadCurvature(**snapshot, study(), {"model.norm.weight"}, {}) == nullptr);
    }

    void goesOnWhereItWasInterrupted()
    {
        auto file = opened();
        const auto text = windowsForGradients(m_text, 1000);
        std::size_t kept = 0;
        Progress progress;
        const auto folder = std::filesystem::path(study().string() + ".inputs");
        std::filesystem::create_directories(folder);
        const auto stopped = gatherGradients(
            m_decoder, text, true, {}, {},
            [&](GatheredGradients one) -> Result<void> {
                if (kept == 4)
                    return failure(ErrorCode::Cancelled, "test", "enough");
                one.figures.file = writeGradientFile(folder, std::to_string(kept++) + ".gradient", one, {}).value();
                return file->append(one.figures);
            },
            {}, progress);
        QVERIFY(!stopped);
        QFile leftover(m_folder->filePath("s.h5.inputs/none.gradient"));
        QVERIFY(leftover.open(QIODevice::WriteOnly));
        leftover.close();
        const auto taken = take(*file, m_text);
        QVERIFY2(taken, taken ? "" : describe(taken.error()).c_str());
        QCOMPARE(*taken, std::size_t(11));
        QCOMPARE(*take(*file, m_text), std::size_t(0));
        QCOMPARE(files().size(), 15);  // without what no layer names
        // Without the weights' own it is another question, and another text is one too.
        QCOMPARE(*take(*file, m_text, false), std::size_t(15));
        QCOMPARE(*take(*file, randomWindows(61, {20}, 4)), std::size_t(15));
        QCOMPARE(files().size(), 15);
    }

    void reachWhoeverMeasures()
    {
        auto file = opened();
        Progress progress;
        QVERIFY(calibrateStudy(*file, m_decoder, m_text, "t.txt", {}, {}, progress));
        const auto tensor = *m_model->find(layer().tensor);
        const auto before = withKnownInputs(*m_model, file->snapshot(), study());
        QVERIFY(before.tensors[tensor].inputs && !before.tensors[tensor].inputs->loadCurvature);
        QVERIFY(take(*file, m_text));
        const auto after = withKnownInputs(*m_model, file->snapshot(), study());
        const auto& inputs = *after.tensors[tensor].inputs;
        QVERIFY(inputs.loadCurvature && inputs.fingerprint != before.tensors[tensor].inputs->fingerprint);
        const auto curvature = inputs.loadCurvature(0, {});
        QVERIFY(curvature && *curvature);
        QCOMPARE((*curvature)->outputs, std::size_t(32));
        // What calibration knew is forgotten, and the gradients with it.
        QVERIFY(file->setCalibrationTexts({}));
        QVERIFY(file->snapshot()->calibration.gradients.empty());
    }

    void damage()
    {
        {
            auto file = opened();
            QVERIFY(take(*file, m_text));
            QVERIFY(file->close());
        }
        const auto snapshot = Study::read(study()).value();
        const auto name = snapshot->calibration.gradients.at(layer())->file.name;
        QFile file(m_folder->filePath("s.h5.inputs/" + QString::fromStdString(name)));
        QVERIFY(file.open(QIODevice::ReadWrite));
        const auto whole = file.readAll();
        const auto codeAfter = [&](const QByteArray& bytes) {
            file.resize(0);
            file.seek(0);
            file.write(bytes);
            file.flush();
            const auto loaded = loadCurvature(*snapshot, study(), layer(), {});
            return loaded ? std::nullopt : std::optional(loaded.error().code);
        };
        auto changed = whole;
        changed[whole.size() / 2] = char(changed[whole.size() / 2] ^ 1);
        QVERIFY(codeAfter(changed) == ErrorCode::Malformed);
        QVERIFY(codeAfter(whole.chopped(1)) == ErrorCode::Truncated);
        QVERIFY(codeAfter(whole + "x") == ErrorCode::Conflict);
        QVERIFY(!codeAfter(whole));
        file.remove();
        QCOMPARE(loadCurvature(*snapshot, study(), layer(), {}).error().code, ErrorCode::CannotOpen);
    }
};

QTEST_APPLESS_MAIN(TestStudyGradients)
#include "tst_study_gradients.moc"
