// SPDX-License-Identifier: GPL-3.0-or-later
// The QAT page of a workbench, the means to drive it as a person does, and the same training without it.
#pragma once

#include "core/analysis/quantized_activations.h"
#include "core/calibration/model_text.h"
#include "core/training/training_texts.h"
#include "tests/support/screenshots.h"
#include "tests/support/shared_data.h"
#include "widgets/dialogs/text_dialog.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/qat_page.h"
#include "widgets/theme/theme.h"
#include "widgets/workbench/quantized_training.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QStackedWidget>
#include <QTemporaryDir>
#include <QTest>

#include <functional>
#include <memory>

namespace quantloupe::tests {

struct QatFixture {
    static constexpr int patience = 120'000;  // milliseconds; the machine may be busy
    static constexpr int tokens = 2560;
    static constexpr unsigned steps = 8;

    /// What the page does, without it.
    struct ByHand {
        ByHand(const Model& model, const QString& file, const QString& scheme, StepRule rule)
            : decoder(describeDecoder(model).value())
        {
            const auto layer = LayerPlan::parse(scheme.toStdString()).value();
            auto recipe = Recipe::uniform(layer.weights, catalogOf(model));
            recipe.activations = layer.activations;
            for (const auto* other : {"model.embed_tokens.weight", "lm_head.weight"})
                recipe.keep.emplace_back(other);
            plan = resolve(recipe, catalogOf(model));
            inputs = quantizedInputs(model, plan, {}).value();
            auto text = readModelText(model, file.toStdString(), {.context = 256, .tokens = tokens}).value();
            for (auto& window : text.windows)
                window.firstScored = 0;
            texts.text = texts.heldOut = text;
            texts.text.windows.resize(9);
            texts.heldOut.windows.erase(texts.heldOut.windows.begin(), texts.heldOut.windows.begin() + 9);
            options = {.steps = steps, .batch = 2, .rule = rule, .evaluateEvery = 1, .threads = 1};
        }
        std::unique_ptr<Training> begin() const
        {
            return Training::begin(decoder, plan, texts.text, texts.heldOut, options, {}, inputs).value();
        }

        Decoder decoder;
        Plan plan;
        InputHook inputs;
        TrainingTexts texts;
        TrainingOptions options;
    };

    /// The story model and a text for it. The page is on the screen before the model is open: `before` looks at it.
    void openStories(const QSize& size, const std::function<void()>& before = {})
    {
        const auto llm = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        m_text = QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string());
        qputenv("QUANTLOUPE_DATA", m_folder.path().toUtf8());
        m_workbench = std::make_unique<Workbench>();
        m_workbench->setSweep({Scheme::parse("int8").value()});
        m_page = std::make_unique<QatPage>(m_workbench.get());
        m_page->resize(size);
        m_page->show();
        QVERIFY(QTest::qWaitForWindowExposed(m_page.get()));
        if (before)
            before();
        QVERIFY(open(QString::fromStdString(llm.string())));
        QTRY_COMPARE_WITH_TIMEOUT(isOpen(), true, patience);
    }
    void close()
    {
        m_page.reset();
        m_workbench.reset();
    }
    bool open(const QString& path)
    {
        QSignalSpy opened(m_workbench.get(), &Workbench::modelChanged);
        m_workbench->openModel(path);
        return (opened.size() > 0 || opened.wait(patience)) && settled();
    }
    bool settled() const
    {
        return QTest::qWaitFor([&] { return !m_workbench->isAnalyzing() && !m_workbench->jobs()->isBusy(); }, patience);
    }
    bool ends(QuantizedTraining::State state) const
    {
        return QTest::qWaitFor([&] { return training()->state() == state; }, patience) && settled();
    }
    /// Choices for a short training, with nothing trained yet.
    void begin(const QString& scheme, StepRule rule)
    {
        if (training()->state() != QuantizedTraining::State::None)
            discard();
        if (!button("start-training")->isEnabled())
            chooseText();
        chooseScheme(scheme);
        chooseRule(rule);
        child<QSpinBox>("train-steps")->setValue(steps);
        child<QSpinBox>("train-batch")->setValue(2);
        QVERIFY(button("start-training")->isEnabled());
    }
    /// Something is, whatever ran before.
    bool isTrained()
    {
        if (training()->state() == QuantizedTraining::State::Done
            && training()->request()->recipe.defaultPlan.weights.toString() == "int3:g32:asym")
            return true;
        begin(QStringLiteral("int3:g32:asym"), StepRule::Estimated);
        click("start-training");
        return ends(QuantizedTraining::State::Done);
    }
    void chooseText()
    {
        click("choose-text");
        auto* dialog = m_page->findChild<TextDialog*>();
        QVERIFY(dialog);
        dialog->findChild<QLineEdit*>(QStringLiteral("file"))->setText(m_text);
        dialog->findChild<QSpinBox*>(QStringLiteral("tokens"))->setValue(tokens);
        dialog->accept();
        delete dialog;
    }
    void chooseScheme(const QString& scheme)
    {
        auto* editor = m_page->findChild<SchemeEditor*>();
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        editor->setScheme(parsed);
        Q_EMIT editor->edited(parsed);
    }
    void chooseRule(StepRule rule)
    {
        auto* rules = child<QComboBox>("train-rule");
        rules->setCurrentIndex(rules->findData(int(rule)));
    }
    void discard()
    {
        if (training()->state() == QuantizedTraining::State::None)
            return;
        click("discard-training");
        auto* box = m_page->findChild<QMessageBox*>();
        QVERIFY(box);
        QTest::mouseClick(box->button(QMessageBox::Discard), Qt::LeftButton);
        delete box;
        QCOMPARE(training()->state(), QuantizedTraining::State::None);
    }
    void picture(const QString& name)
    {
        for (const bool dark : {false, true}) {
            Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
            QTest::qWait(50);
            saveScreenshot(m_page->grab(), name + (dark ? QStringLiteral("_dark") : QStringLiteral("_light")));
        }
        Theme::instance().setMode(ThemeMode::Light);
    }
    static std::size_t placeOf(Training& training, const QString& tensor)
    {
        const auto& matrices = training.student().matrices();
        std::size_t place = 0;
        while (training.student().model().tensors[matrices[place].tensor].name != tensor.toStdString())
            ++place;
        return place;
    }

    QuantizedTraining* training() const { return m_page->training(); }
    template<class T>
    T* child(const char* name) const
    {
        return m_page->findChild<T*>(QLatin1String(name));
    }
    QPushButton* button(const char* name) const { return child<QPushButton>(name); }
    void click(const char* name) const { QTest::mouseClick(button(name), Qt::LeftButton); }
    QString status() const { return child<QLabel>("training-status")->text(); }
    QString reason() const { return child<QLabel>("qat-reason")->text(); }
    bool isOpen() const { return m_page->findChild<QStackedWidget*>()->currentIndex() == 1; }

    QTemporaryDir m_folder;
    QString m_text;
    std::unique_ptr<Workbench> m_workbench;
    std::unique_ptr<QatPage> m_page;
};

}  // namespace quantloupe::tests
