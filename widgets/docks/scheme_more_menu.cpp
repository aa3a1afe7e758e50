// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_more_menu.h"

#include "widgets/docks/scheme_choices.h"

#include <QActionGroup>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLineEdit>
#include <QMouseEvent>
#include <QToolTip>
#include <QWidgetAction>

#include <algorithm>

using quantloupe::Algorithm;
using quantloupe::ScaleStorage;
using quantloupe::Scheme;

SchemeMoreMenu::SchemeMoreMenu(QWidget* parent)
    : QMenu(parent)
    , m_scales(new QActionGroup(this))
    , m_text(new QLineEdit)
{
    setToolTipsVisible(true);
    addSection(tr("Algorithms"));
    m_scaleSection = addSection(tr("Scale storage"));
    m_textSection = addSection(tr("Type a scheme"));
    m_text->setAccessibleName(tr("Scheme notation"));
    m_text->setToolTip(tr("The whole scheme in one line, e.g. int4:g128:asym:mse+hadamard. Enter takes it."));
    m_text->setMinimumWidth(m_text->fontMetrics().averageCharWidth() * 34);
    auto* margins = new QWidget;
    auto* layout = new QHBoxLayout(margins);
    layout->setContentsMargins(8, 4, 8, 6);
    layout->addWidget(m_text);
    auto* line = new QWidgetAction(this);
    line->setDefaultWidget(margins);
    addAction(line);
    connect(m_text, &QLineEdit::returnPressed, this, &SchemeMoreMenu::takeText);
    refresh();
}

void SchemeMoreMenu::setScheme(const Scheme& scheme)
{
    if (scheme == m_scheme)
        return;
    m_scheme = scheme;
    refresh();
}

void SchemeMoreMenu::setCalibration(quantloupe::Calibration calibration)
{
    if (calibration == m_calibration)
        return;
    m_calibration = calibration;
    refresh();
}

void SchemeMoreMenu::refresh()
{
    showAlgorithms();
    showScales();
    m_text->setText(QString::fromStdString(m_scheme.toString()));
}

void SchemeMoreMenu::showAlgorithms()
{
    const auto algorithms = algorithmsFor(m_scheme, m_calibration);
    while (m_algorithmActions.size() < static_cast<std::size_t>(algorithms.size())) {
        auto* action = new QAction(this);
        action->setCheckable(true);
        insertAction(m_scaleSection, action);
        connect(action, &QAction::triggered, this,
            [this, action] { change(toggled(m_scheme, static_cast<Algorithm>(action->data().toInt()))); });
        m_algorithmActions.push_back(action);
    }
    for (std::size_t i = 0; i < m_algorithmActions.size(); ++i) {
        auto* action = m_algorithmActions[i];
        action->setVisible(i < static_cast<std::size_t>(algorithms.size()));
        if (!action->isVisible())
            continue;
        const auto algorithm = algorithms[static_cast<qsizetype>(i)];
        const bool on =
            std::find(m_scheme.algorithms.begin(), m_scheme.algorithms.end(), algorithm) != m_scheme.algorithms.end();
        const auto refusal = on ? QString() : refusalOf(toggled(m_scheme, algorithm), m_calibration);
        action->setData(static_cast<int>(algorithm));
        action->setText(wordText(nameOf(algorithm)) + u'\t' + nameInWords(algorithm));
        action->setChecked(on);
        action->setEnabled(refusal.isEmpty());
        action->setToolTip(refusal.isEmpty() ? explanationOf(algorithm)
                                             : explanationOf(algorithm) + u'\n' + tr("Not here: %1").arg(refusal));
    }
}

void SchemeMoreMenu::showScales()
{
    const auto storages = scaleStoragesFor(m_scheme);
    for (auto* action : m_scaleActions)
        delete action;
    m_scaleActions.clear();
    m_scaleSection->setVisible(!storages.isEmpty());
    for (const auto storage : storages) {
        auto* action = new QAction(textOf(storage), m_scales);
        action->setCheckable(true);
        action->setChecked(storage == m_scheme.scales);
        action->setToolTip(tr("What each scale takes in a file; it counts in every size."));
        // The menu is built anew by the change: not while one of its actions is still at work.
        connect(
            action, &QAction::triggered, this,
            [this, storage] {
                auto changed = m_scheme;
                changed.scales = storage;
                change(changed);
            },
            Qt::QueuedConnection);
        insertAction(m_textSection, action);
        m_scaleActions.push_back(action);
    }
}

void SchemeMoreMenu::change(const Scheme& scheme)
{
    m_scheme = scheme;
    refresh();
    Q_EMIT edited(m_scheme);
}

void SchemeMoreMenu::takeText()
{
    const auto parsed = Scheme::parse(m_text->text().trimmed().toStdString());
    const auto reason = parsed ? refusalOf(*parsed, m_calibration) : QString::fromStdString(parsed.error().reason);
    if (!reason.isEmpty()) {
        QToolTip::showText(
            m_text->mapToGlobal(QPoint(0, m_text->height())), reason.toHtmlEscaped(), m_text, {}, 10'000);
        return;
    }
    hide();
    if (*parsed != m_scheme)
        change(*parsed);
}

void SchemeMoreMenu::mouseReleaseEvent(QMouseEvent* event)
{
    if (auto* action = actionAt(event->position().toPoint()); action && action->isCheckable()) {
        if (action->isEnabled())
            action->trigger();
        return;
    }
    QMenu::mouseReleaseEvent(event);
}

void SchemeMoreMenu::keyPressEvent(QKeyEvent* event)
{
    if (event->key() == Qt::Key_Space && activeAction() && activeAction()->isCheckable()) {
        if (activeAction()->isEnabled())
            activeAction()->trigger();
        return;
    }
    QMenu::keyPressEvent(event);
}
