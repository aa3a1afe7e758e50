// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/trained_quantizer.h"
#include "widgets/workbench/training_run.h"

#include <QWidget>

#include <optional>

class ElidedLabel;
class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QHBoxLayout;
class QLabel;
class QPushButton;
class QSpinBox;
class SchemeEditor;
class Workbench;

/// What is to be trained, as a whole or layer by layer, by which rule and on which text. Rules that do not go with the
/// schemes cannot be chosen, and a line below says why.
class QatControls final : public QWidget
{
    Q_OBJECT
public:
    enum class Mode {
        Whole,   ///< end to end, on the model's predictions
        Layers,  ///< each layer by itself, on its outputs
    };

    explicit QatControls(Workbench* workbench, QWidget* parent = nullptr);

    Mode mode() const;

    /// As chosen; nullopt where problem() says what is missing.
    std::optional<TrainingRequest> request() const;
    /// Why nothing can be trained yet; empty when it can.
    QString problem() const;
    /// Whether the choices may be changed: not while something is trained by them.
    void setOpen(bool open);

Q_SIGNALS:
    void changed();

protected:
    void showEvent(QShowEvent* event) override;

private:
    enum class What { Model, Selection, Recipe };
    struct Figures {
        int steps = 0, batch = 0;
        double rate = 0.0;
    };

    void layOut();
    QHBoxLayout* firstRow();
    QHBoxLayout* secondRow();
    QHBoxLayout* thirdRow();
    void reset();  ///< for a new model
    void follow();
    void followMode();
    void explainFigures();
    void checkRules();
    QString refusalOfMode(const quantloupe::Plan& plan) const;
    void chooseText();
    void showText();
    What what() const;
    quantloupe::StepRule rule() const;
    quantloupe::Recipe recipe() const;

    Workbench* m_workbench;
    QComboBox *m_mode, *m_what, *m_rule, *m_start;
    SchemeEditor* m_scheme;
    QSpinBox *m_steps, *m_batch, *m_heldOut, *m_memory;
    QDoubleSpinBox* m_rate;
    QCheckBox* m_distils;
    ElidedLabel* m_text;
    QPushButton* m_choose;
    QLabel *m_hint, *m_startLabel;
    QString m_file, m_refusal;  ///< refusal: of the chosen rule
    std::size_t m_tokens = 65'536;
    bool m_stale = true, m_isOpen = true;
    Figures m_others;            ///< of the mode that is not chosen
    Mode m_shown = Mode::Whole;  ///< that the fields show the figures of
};
