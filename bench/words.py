"""French of everyday mail, for the made-up mails of the bench. Invented; names no insurer and no person."""

from __future__ import annotations

TRADES = (
    "librairie", "fleuriste", "boulangerie", "garage", "imprimerie", "jardinerie", "cinema", "theatre", "piscine", "ferme bio",
    "menuiserie", "ecole de musique", "club de voile", "mairie", "syndic", "agence de voyage", "velo", "quincaillerie", "brasserie", "opticien",
)  # fmt: skip
FIRST_NAMES = ("Camille", "Léa", "Hugo", "Chloé", "Noé", "Inès", "Jules", "Zoé", "Maël", "Anaïs", "Théo", "Élise")
LAST_NAMES = ("Martinet", "Duvallon", "Bertholin", "Castelnaud", "Fauregris", "Lemarchal", "Rocheblanche", "Vergniol")
SUBJECTS = (
    "Votre commande n° {number} est en préparation",
    "La lettre du mois : {trade}",
    "Votre reçu {number}",
    "Compte rendu de la réunion",
    "Nouveautés de la semaine",
    "Votre rendez-vous est confirmé",
    "Rappel : votre réservation {number}",
    "Horaires pendant les vacances",
    "Votre contrat de location : pièces à joindre",
    "Invitation à notre journée portes ouvertes",
)
SENTENCES = (
    "Nous vous remercions de votre confiance et de votre fidélité.",
    "Vous trouverez ci-dessous le détail de votre commande.",
    "La livraison est prévue dans les trois jours ouvrés, entre 9 h et 18 h.",
    "Notre équipe reste à votre disposition pour toute question.",
    "Les nouveautés de la saison sont arrivées : venez les découvrir en magasin.",
    "Pour des raisons de sécurité, ne communiquez jamais votre mot de passe.",
    "Le prochain rendez-vous aura lieu le jeudi 12 mars à la salle des fêtes.",
    "Merci de nous prévenir en cas d’empêchement.",
    "Vous pouvez modifier vos préférences à tout moment depuis votre espace client.",
    "L’assurance responsabilité civile est demandée lors de l’inscription.",
    "Votre mutuelle peut prendre en charge une partie des frais ; renseignez-vous auprès d’elle.",
    "Le montant sera prélevé le 5 du mois prochain.",
    "Nous avons le plaisir de vous annoncer l’ouverture de notre nouvel atelier.",
    "Les travaux de la rue principale commenceront lundi et dureront deux semaines.",
    "Profitez de 10 % de remise sur une sélection d’articles jusqu’à dimanche.",
    "Le stationnement est gratuit devant l’entrée, côté cour.",
    "Cette recette se prépare en vingt minutes et convient à toute la famille.",
    "Les inscriptions pour le stage d’été ouvrent dès aujourd’hui.",
    "Le compte rendu complet est joint à ce message.",
    "N’hésitez pas à transmettre cette lettre à vos proches.",
    "Le remboursement de votre billet a été effectué sur la carte utilisée lors de l’achat.",
    "Veuillez vérifier l’adresse de livraison avant de confirmer.",
    "Nos conseillers vous accueillent du mardi au samedi.",
    "À très bientôt, et bonne lecture.",
)
