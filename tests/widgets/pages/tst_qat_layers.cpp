// SPDX-License-Identifier: GPL-3.0-or-later
// Layers trained by themselves on the QAT page, as a person does it: their figures against those of the core by hand,
// what is said of them, a stop, the recipe, a checkpoint.
#include "core/file_formats/file_format.h"
#include "tests/widgets/pages/qat_fixture.h"
#include "widgets/pages/qat_layers.h"
#include "widgets/pages/qat_verdicts.h"
#include "widgets/plots/training_curve_plot.h"

#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QElapsedTimer>
#include <QTableWidget>

using namespace quantloupe;

class TestQatLayers : public QObject, private tests::QatFixture
{
    Q_OBJECT

    const QString m_scheme = QStringLiteral("int3:g32");
    const QStringList m_layers {QStringLiteral("model.layers.1.self_attn.q_proj.weight"),
        QStringLiteral("model.layers.1.mlp.up_proj.weight"), QStringLiteral("model.layers.1.mlp.down_proj.weight")};

    QTableWidget* table() const { return child<QTableWidget>("layer-figures"); }
    QString cell(int row, int column) const { return table()->item(row, column)->text(); }
    QString verdict() const { return child<QLabel>("layer-verdict")->text(); }
    QString adoption() const { return child<QLabel>("layers-adoption")->text(); }
    const LayersSnapshot& layers() const { return *training()->snapshot()->layers; }

    /// Choices for the three layers, with nothing trained yet.
    void choose(int stepsOfEach)
    {
        discard();
        auto* mode = child<QComboBox>("train-mode");
        mode->setCurrentIndex(1);
        m_workbench->select(m_layers);
        child<QComboBox>("train-what")->setCurrentIndex(1);
        chooseScheme(m_scheme);
        chooseRule(StepRule::Scale);
        child<QSpinBox>("train-steps")->setValue(stepsOfEach);
        if (!button("start-training")->isEnabled())
            chooseText();
        QVERIFY2(button("start-training")->isEnabled(), qPrintable(status()));
    }
    void train(int stepsOfEach)
    {
        choose(stepsOfEach);
        click("start-training");
        QVERIFY2(ends(QuantizedTraining::State::Done), qPrintable(status()));
    }
    /// Three layers trained for a hundred steps, whatever ran before.
    bool isTrained()
    {
        if (training()->state() != QuantizedTraining::State::Done || training()->request()->layers->layer.steps != 100)
            train(100);
        return training()->state() == QuantizedTraining::State::Done;
    }
    /// What the page does, without it.
    std::vector<TrainedTensor> byHand(std::uint64_t stepsOfEach) const
    {
        const ByHand hand(*m_workbench->model(), m_text, m_scheme, StepRule::Scale);
        Plan plan;
        for (const auto& planned : hand.plan.tensors)
            if (m_layers.contains(QString::fromStdString(m_workbench->model()->tensors[planned.tensor].name)))
                plan.tensors.push_back(planned);
        Progress progress;
        return trainLayers(hand.decoder, plan, hand.texts.text, hand.texts.heldOut,
            {.layer = {.steps = stepsOfEach, .rule = StepRule::Scale, .threads = 1}}, {}, progress)
            .value();
    }

private Q_SLOTS:
    void initTestCase() { openStories({1100, 760}); }
    void cleanupTestCase() { close(); }

    /// By keys; each mode has its own figures, and what means nothing in it is not there.
    void modesAreChosen()
    {
        auto* mode = child<QComboBox>("train-mode");
        auto* stepsField = child<QSpinBox>("train-steps");
        QVERIFY(child<QCheckBox>("train-distils")->isVisible() && !child<QComboBox>("train-start")->isVisible());
        QVERIFY(!m_page->findChild<QatLayers*>()->isVisible());
        stepsField->setValue(33);
        mode->setFocus();
        QTest::keyClick(mode, Qt::Key_Down);
        QVERIFY(!child<QCheckBox>("train-distils")->isVisible() && child<QComboBox>("train-start")->isVisible());
        QVERIFY(m_page->findChild<QatLayers*>()->isVisible() && !table()->isVisible());
        QCOMPARE(stepsField->value(), 1000);
        QCOMPARE(child<QSpinBox>("train-batch")->value(), 256);
        QCOMPARE(child<QDoubleSpinBox>("train-rate")->value(), 5e-4);
        QVERIFY2(status().contains(QStringLiteral("gives each layer its inputs")), qPrintable(status()));
        QVERIFY(!button("start-training")->isEnabled());
        QVERIFY(!button("adopt-layers")->isVisible() && !button("calibrate-for-layers")->isVisible());
        picture(QStringLiteral("qat_layers_empty"));
        QTest::keyClick(mode, Qt::Key_Up);
        QCOMPARE(stepsField->value(), 33);
        QVERIFY(child<QCheckBox>("train-distils")->isVisible() && !m_page->findChild<QatLayers*>()->isVisible());
    }

    void activationsAreRefused()
    {
        auto recipe = Recipe::uniform(Scheme::parse("int4:g32").value(), m_workbench->catalog());
        recipe.activations = Scheme::parse("int8:token").value();
        m_workbench->setRecipe(recipe, QStringLiteral("Inputs, too"));
        QVERIFY(settled());
        child<QComboBox>("train-mode")->setCurrentIndex(1);
        child<QComboBox>("train-what")->setCurrentIndex(2);
        QVERIFY2(status().contains(QStringLiteral("quantizes activations")), qPrintable(status()));
        QVERIFY(!button("start-training")->isEnabled());
        child<QComboBox>("train-what")->setCurrentIndex(0);
        QVERIFY(!status().contains(QStringLiteral("quantizes activations")));
        m_workbench->undoStack()->undo();
        QVERIFY(settled());
    }

    void figuresAreThoseOfTheCore()
    {
        QVERIFY(isTrained());
        const auto hand = byHand(100);
        QCOMPARE(table()->rowCount(), int(hand.size()));
        QCOMPARE(layers().trained.size(), hand.size());
        QCOMPARE(hand.size(), std::size_t(m_layers.size()));
        const QLocale locale;
        for (std::size_t i = 0; i < hand.size(); ++i) {
            const auto row = int(i);
            const auto& result = hand[i].result;
            QCOMPARE(cell(row, 0).toStdString(), m_workbench->model()->tensors[hand[i].tensor].name);
            QVERIFY(std::abs(locale.toDouble(cell(row, 1)) / result.nearest.heldOut.relative - 1.0) < 1e-3);
            QVERIFY(std::abs(locale.toDouble(cell(row, 2)) / result.gptq->heldOut.relative - 1.0) < 1e-3);
            QVERIFY(std::abs(locale.toDouble(cell(row, 3)) / result.trained.heldOut.relative - 1.0) < 1e-3);
            QCOMPARE(cell(row, 4).toStdString(), std::string(nameOf(result.start)));
            QCOMPARE(locale.toULongLong(cell(row, 6)), qulonglong(result.keptStep));
            QCOMPARE(cell(row, 7), verdictWords(result.verdict()));
            QVERIFY(layers().trained[i]->result.history == result.history);
            QVERIFY(layers().trained[i]->result.layer->weights == result.layer->weights);
        }
        QVERIFY(child<QLabel>("layers-summary")->text().contains(QStringLiteral("of 3 layers")));
        QVERIFY2(status().contains(QStringLiteral("3 of 3 layers trained")), qPrintable(status()));
        picture(QStringLiteral("qat_layers"));
    }

    /// By click, by key and from elsewhere in the window.
    void aLayerIsLookedAt()
    {
        QVERIFY(isTrained());
        const auto isShown = [&](int row) {
            const auto& result = layers().trained[std::size_t(row)]->result;
            const auto& curves = m_page->findChild<LayerLossPlot*>()->data();
            if (!verdict().startsWith(cell(row, 0)) || !verdict().contains(verdictSentence(result))
                || curves.lines[0].values.size() != result.history.steps.size())
                return false;
            for (std::size_t i = 0; i < curves.lines[0].values.size(); ++i)
                if (curves.lines[0].values[i] != result.history.steps[i].loss)
                    return false;
            return curves.lines[1].values.back() == result.history.evaluations.back().deciding.squared;
        };
        const auto place = table()->visualItemRect(table()->item(0, 3)).center();
        QTest::mouseClick(table()->viewport(), Qt::LeftButton, {}, place);
        QVERIFY2(isShown(0), qPrintable(verdict()));
        QCOMPARE(m_workbench->currentTensor(), cell(0, 0));
        QTest::keyClick(table(), Qt::Key_Down);
        QVERIFY2(isShown(1), qPrintable(verdict()));
        QCOMPARE(m_workbench->currentTensor(), cell(1, 0));
        m_workbench->select({cell(2, 0)});
        QVERIFY2(isShown(2), qPrintable(verdict()));
        m_workbench->select({QStringLiteral("model.embed_tokens.weight")});
        QVERIFY2(isShown(2), qPrintable(verdict()));
    }

    /// What is said follows from the figures alone.
    void sentencesAreHonest()
    {
        LayerTrainingResult result;
        result.judgingTokens = 512;
        const auto set = [](LayerMethod& method, double error) { method.heldOut = {error, error / 100.0}; };
        set(result.nearest, 20.0);
        result.gptq.emplace();
        set(*result.gptq, 10.0);
        const auto says = [&](LayerStart start, double begun, double trained, const char* words) {
            result.start = start;
            set(result.begun, begun);
            set(result.trained, trained);
            const bool said = verdictSentence(result).startsWith(QLatin1String(words));
            return said ? QByteArray() : verdictSentence(result).toUtf8();
        };
        QCOMPARE(says(LayerStart::Gptq, 10.0, 8.0, "Yes: training won back 20"), QByteArray());
        QVERIFY(!verdictSentence(result).contains(QStringLiteral("In all")));
        QVERIFY(verdictSentence(result).contains(QStringLiteral("512 held-out tokens")));
        QCOMPARE(says(LayerStart::Gptq, 10.0, 9.5, "A little: training won back 5"), QByteArray());
        // What coordinate descent has won is not training's.
        QCOMPARE(says(LayerStart::Descent, 7.0, 6.99, "Hardly: training won back 0"), QByteArray());
        QVERIFY(verdictSentence(result).contains(QStringLiteral("In all it loses 30.1")));
        QCOMPARE(says(LayerStart::Descent, 7.0, 7.0, "No: training adds nothing to coordinate descent"), QByteArray());
        // What is said of a start is its own figure, though training made it worse on the judging tokens.
        QCOMPARE(says(LayerStart::Descent, 7.0, 7.5,
                     "No: training adds nothing to coordinate descent, which it began as and which loses 30"),
            QByteArray());
        QCOMPARE(says(LayerStart::Gptq, 10.0, 10.0, "No: QAT loses no less than GPTQ"), QByteArray());
        // Where GPTQ is the worse of both, plain rounding is what is to be beaten.
        set(result.nearest, 9.0);
        QCOMPARE(says(LayerStart::Gptq, 10.0, 9.5, "No: QAT loses no less than rounding to nearest"), QByteArray());
        QCOMPARE(result.verdict(), LayerVerdict::NotBetterThanNearest);
        QCOMPARE(says(LayerStart::Gptq, 10.0, 8.0, "Yes: training won back 20"), QByteArray());
        QVERIFY(verdictSentence(result).contains(QStringLiteral("less than rounding to nearest.")));
        QCOMPARE(result.verdict(), LayerVerdict::BetterThanGptq);
        set(result.nearest, 20.0);
        result.gptq.reset();
        QCOMPARE(says(LayerStart::Nearest, 20.0, 10.0, "Yes: training won back 50"), QByteArray());
        QVERIFY(verdictSentence(result).contains(QStringLiteral("GPTQ does not round this format")));
    }

    /// Against GPTQ where it rounds, else against rounding to nearest.
    void sentenceOfAllLayers()
    {
        LayersSnapshot several;
        const auto add = [&](double nearest, std::optional<double> gptq, double begun, double trained) {
            TrainedTensor one;
            one.result.nearest.heldOut.squared = nearest;
            if (gptq)
                one.result.gptq.emplace().heldOut.squared = *gptq;
            one.result.begun.heldOut.squared = begun;
            one.result.trained.heldOut.squared = trained;
            several.trained.push_back(std::make_shared<const TrainedTensor>(std::move(one)));
        };
        QCOMPARE(verdictOfAll(several), QString());
        add(20.0, std::nullopt, 20.0, 15.0);
        add(20.0, std::nullopt, 20.0, 20.0);
        QCOMPARE(verdictOfAll(several),
            QStringLiteral("QAT is better than RTN in 1 of 2 layers. Training itself made 1 of 2 better than what "
                           "they began as."));
        add(20.0, 10.0, 8.0, 8.0);
        QCOMPARE(verdictOfAll(several),
            QStringLiteral("QAT is better than GPTQ in 1 of 1 layers. Training itself made 1 of 3 better than what "
                           "they began as."));
    }

    /// A curve of a million steps is drawn, and copied while it grows, by some thousand of them.
    void longCurvesAreThinned()
    {
        std::vector<LayerTrainingStep> taken(1'000'000);
        for (std::size_t i = 0; i < taken.size(); ++i)
            taken[i].step = i;
        const auto points = curvePoints(taken);
        QVERIFY(points.size() > 2'000 && points.size() < 5'000);
        QVERIFY(points.front() == taken.front() && points.back() == taken.back());
        for (std::size_t i = 1; i + 1 < points.size(); ++i)
            QCOMPARE(points[i].step - points[i - 1].step, points[1].step);
        taken.resize(2'000);
        QVERIFY(curvePoints(taken) == taken);
    }

    /// +qat needs calibration: there is a button for it, and then one for the recipe.
    void intoTheRecipe()
    {
        QVERIFY(isTrained());
        const auto gained = m_page->findChild<QatLayers*>()->gained();
        QVERIFY2(!gained.empty(), "training helps no layer: nothing is tested");
        QVERIFY(!button("adopt-layers")->isEnabled());
        QVERIFY2(adoption().contains(QStringLiteral("calibration")), qPrintable(adoption()));
        picture(QStringLiteral("qat_layers_uncalibrated"));
        click("calibrate-for-layers");
        QVERIFY(settled());
        QTRY_VERIFY(button("adopt-layers")->isEnabled());
        QVERIFY(!button("calibrate-for-layers")->isVisible());
        QVERIFY2(adoption().contains(QStringLiteral("trained anew")), qPrintable(adoption()));
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        button("adopt-layers")->setFocus();
        QTest::keyClick(button("adopt-layers"), Qt::Key_Space);
        QVERIFY(settled());
        QVERIFY2(failed.isEmpty(), failed.isEmpty() ? "" : qPrintable(failed.front().at(1).toString()));
        for (const auto& one : layers().trained) {
            const auto name = QString::fromStdString(m_workbench->model()->tensors[one->tensor].name);
            const bool helps = std::find(gained.begin(), gained.end(), one) != gained.end();
            const auto scheme = m_workbench->schemeOf(name);
            QCOMPARE(scheme && scheme->toString() == "int3:g32+qat", helps);
        }
        QVERIFY(!button("adopt-layers")->isEnabled());
        m_workbench->undoStack()->undo();
        QVERIFY(button("adopt-layers")->isEnabled());
        QVERIFY(settled());
    }

    void writesWhatWasTrained()
    {
        QVERIFY(isTrained());
        QTRY_VERIFY_WITH_TIMEOUT(button("save-trained")->isEnabled(), patience);
        QVERIFY(m_page->holdsUnsavedTraining());
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        const auto path = m_folder.filePath(QStringLiteral("layers"));
        training()->write(*findCheckpointTarget("fake-quantized"), path);
        QVERIFY(settled());
        QVERIFY2(failed.isEmpty(), failed.isEmpty() ? "" : qPrintable(failed.front().at(1).toString()));
        QVERIFY(!m_page->holdsUnsavedTraining());
        const auto model = openModel(path.toStdString());
        QVERIFY(model);
        const auto& original = *m_workbench->model();
        for (std::size_t i = 0; i < original.tensors.size(); ++i) {
            const auto& name = original.tensors[i].name;
            const auto& view = (*model)->tensors[(*model)->find(name).value()].view;
            std::vector<float> read(original.tensors[i].parameters()), expected(read.size());
            decodeRows(view, 0, matrixShape(view).rows, read);
            decodeRows(original.tensors[i].view, 0, matrixShape(view).rows, expected);
            for (const auto& one : layers().trained)
                if (one->tensor == i)
                    expected = one->result.layer->quantized().values;
            QVERIFY2(read == expected, name.c_str());
        }
    }

    /// What is trained stays, and the rest comes to the same as without a stop.
    void stoppedAndContinuedItIsTheSame()
    {
        const auto beginAll = [&] {
            choose(100);
            child<QComboBox>("train-what")->setCurrentIndex(0);
            click("start-training");
        };
        beginAll();
        QVERIFY(ends(QuantizedTraining::State::Done));
        const auto whole = layers().trained;
        QCOMPARE(whole.size(), std::size_t(35));
        beginAll();
        QTRY_VERIFY_WITH_TIMEOUT(training()->snapshot() && !layers().trained.empty(), patience);
        QVERIFY(!child<QWidget>("train-mode")->isEnabled());
        click("stop-training");
        QVERIFY(ends(QuantizedTraining::State::Stopped));
        QVERIFY(layers().trained.size() < whole.size());
        QCOMPARE(cell(34, 7), QStringLiteral("not trained yet"));
        QCOMPARE(button("start-training")->text().remove(u'&'), QStringLiteral("Continue"));
        QTRY_VERIFY_WITH_TIMEOUT(button("save-trained")->isEnabled(), patience);
        picture(QStringLiteral("qat_layers_stopped"));
        click("start-training");
        QVERIFY(ends(QuantizedTraining::State::Done));
        for (std::size_t i = 0; i < whole.size(); ++i) {
            QCOMPARE(layers().trained[i]->tensor, whole[i]->tensor);
            QVERIFY(layers().trained[i]->result.layer->weights == whole[i]->result.layer->weights);
        }
    }

    /// Steps and a curve before the layer is done; a stop is heard at once. All layers, since three may be done, each
    /// as soon as it gains nothing more, before anybody looks.
    void isWatchedWhileItTrains()
    {
        choose(1'000'000);
        child<QComboBox>("train-what")->setCurrentIndex(0);
        click("start-training");
        const auto* plot = m_page->findChild<LayerLossPlot*>();
        QTRY_VERIFY_WITH_TIMEOUT(!plot->data().lines.empty() && plot->data().lines[0].values.size() > 5, patience);
        QVERIFY2(status().contains(QStringLiteral("Layer ")), qPrintable(status()));
        picture(QStringLiteral("qat_layers_running"));
        QElapsedTimer clock;
        clock.start();
        click("stop-training");
        QVERIFY(QTest::qWaitFor([&] { return training()->state() != QuantizedTraining::State::Running; }, patience));
        QVERIFY2(clock.elapsed() < 2000, qPrintable(QString::number(clock.elapsed())));
    }

    void discardedItIsForgotten()
    {
        QVERIFY(isTrained());
        discard();
        QCOMPARE(table()->rowCount(), 0);
        QVERIFY(!m_page->findChild<LayerLossPlot*>()->hasData());
        QVERIFY(!button("adopt-layers")->isVisible());
        QVERIFY(child<QLabel>("layers-summary")->text().isEmpty());
        QVERIFY(child<QWidget>("train-mode")->isEnabled());
        QVERIFY(!m_page->holdsUnsavedTraining());
    }
};

QTEST_MAIN(TestQatLayers)
#include "tst_qat_layers.moc"
